"""The color theme: few colors, calm on a dark background, and distinct in a palette of sixteen."""

from textual.theme import Theme

THEME = Theme(
    name="workbench",
    primary="#6cb6ff",
    secondary="#b083f0",
    accent="#e3b341",
    warning="#e0823d",
    error="#f47067",
    success="#6bc46d",
    foreground="#cdd9e5",
    background="#0f1419",
    surface="#161c23",
    panel="#1c232b",
    dark=True,
    variables={"border-blurred": "#3d4752"},
)
