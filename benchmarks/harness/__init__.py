"""What every benchmark needs: server processes, load, figures."""
