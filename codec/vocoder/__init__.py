"""What tokens describe, and what speech is made of: a pitch, how periodic the speech is, phases, and a smooth spectrum.

`analysis` finds these in speech. `excitation` makes a pulse train at the pitch and white noise, and `filters` turns both
into speech (Dudley, "The vocoder", Bell Laboratories Record 18, 1939; the spectra are measured as in WORLD: Morise, Yokomori
and Ozawa, IEICE Trans. Inf. & Syst. E99-D, 2016). All of it runs on NumPy, frame by frame or at once with the same result.
Training uses the same functions.
"""
