"""Puts numbers into words."""


def counted(count: float, noun: str) -> str:
    """A number with what it counts: "1 epoch", "1,024 epochs", "0.5 CPUs".

    Args:
        count: of things; 0 or more.
        noun: in the singular, with a plural in -s.
    """
    number = f"{int(count):,}" if count == int(count) else f"{count:g}"
    return f"{number} {noun if count == 1 else f'{noun}s'}"
