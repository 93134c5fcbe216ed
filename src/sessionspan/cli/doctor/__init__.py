"""``sessionspan doctor``: what a program's start would record, where it would go, and what is in the way.

A subject (`subject`) is asked from inside (`inquiry`); each check looks at it and says findings, which are values.
"""
