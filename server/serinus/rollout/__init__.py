"""Lets a new version earn its calls, and lose them by itself: machine, judge, controller."""
