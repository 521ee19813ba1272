"""The words of the program: requests, responses, signatures, versions, errors. No I/O."""
