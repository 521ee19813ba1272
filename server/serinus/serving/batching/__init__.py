"""Joins the calls of one model into runs, and takes the answers apart again."""
