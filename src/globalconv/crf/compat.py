"""The former name of `globalconv.crf.pydensecrf`."""

from globalconv.crf.pydensecrf import *  # noqa: F403
