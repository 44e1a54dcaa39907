"""The flags of all trainings: work folder, split, and intervals."""

from absl import flags

WORKDIR = flags.DEFINE_string("workdir", None, "Folder of the run.", required=True)
SPLIT = flags.DEFINE_string("split", "train", "Split of the data set.")
LOG_EVERY = flags.DEFINE_integer(
    "log_every", 50, "Steps between two lines of metrics.jsonl.", lower_bound=1
)
CHECKPOINT_EVERY = flags.DEFINE_integer(
    "checkpoint_every", 500, "Steps between two checkpoints.", lower_bound=1
)
SAMPLE_EVERY = flags.DEFINE_integer(
    "sample_every", 500, "Steps between two grids of samples.", lower_bound=1
)
