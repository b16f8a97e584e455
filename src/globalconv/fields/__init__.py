"""Receptive fields as answers: Figure 3 of any picture and networks, and which kernel a data set asks for."""
