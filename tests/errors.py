"""The error of a call, for loops over bad input that name the case in their assertions."""


def error_of(function, *arguments, **named):
    """The message of the ValueError that the call raises, or "" where it raises none."""
    try:
        function(*arguments, **named)
    except ValueError as error:
        return str(error)
    return ""
