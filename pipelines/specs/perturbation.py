"""What disturbances are called, and what their strengths mean, under tables and pictures.

Kept apart from `fusion.perturb`, whose code counts for the disturbed images' identity.
"""

from __future__ import annotations

from fusion.perturb import Kind

UNITS: dict[Kind, str] = {
    "shift": "px",
    "rotation": "degrees",
    "infrared_noise": "grey levels",
    "visible_darkening": "share of light taken away",
    "lost": "",
}
WORDS: dict[Kind, str] = {
    "shift": "shift of infrared",
    "rotation": "rotation of infrared",
    "infrared_noise": "noise on infrared",
    "visible_darkening": "darkness of visible",
    "lost": "loss of an image",
}
MEANING: dict[Kind, str] = {
    "shift": "the infrared image is shifted by so many pixels to the right, down, left or up, "
    "drawn per pair; what is missing at the border is reflected",
    "rotation": "the infrared image is turned by so many degrees about its centre, either way, "
    "drawn per pair (bilinear, which also smooths); what is missing at the border is reflected",
    "infrared_noise": "Gaussian noise of that standard deviation, in grey levels of 255, is added "
    "to the infrared image, then rounded and clipped",
    "visible_darkening": "that share of the visible image's light is taken away: sRGB is decoded "
    "to linear light, scaled and encoded again, without the noise that real darkness adds",
    "lost": "the image is replaced by black",
}
"""What a strength does, in the words that stand under a table."""
