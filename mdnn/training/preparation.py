"""Prepares the config and the folders of a new or resumed run."""

import contextlib
import dataclasses

import keras

import mdnn
from mdnn.config.growing import stage_configs
from mdnn.config.load import Config, load_config
from mdnn.config.mesh_table import check_mesh
from mdnn.errors import MdnnError
from mdnn.files import check_new_folder
from mdnn.runs.run_files import CONFIG, WEIGHTS, check_format, read_vocabulary, weights_dtype
from mdnn.tasks.registry import task_class, task_for
from mdnn.tokens.text_tokenizers import has_vocabulary
from mdnn.training import checkpoint
from mdnn.training.init_from import Start, make_start, recorded_start


def anchored(config):
    """Returns the config with absolute paths of sources, as stored in a run folder."""
    absolute = task_class(config).absolute_source
    data = dataclasses.replace(
        config.data,
        source=absolute(config.data.source),
        mix=tuple(dataclasses.replace(m, source=absolute(m.source)) for m in config.data.mix),
    )
    return dataclasses.replace(config, data=data)


def resumed_config(config, path, source=None):
    """Returns the stored config of a run with the training budget and the mesh of `config`.

    Args:
        config: `mdnn.Config` with the new training budget.
        path: `pathlib.Path` of the run folder.
        source: str, the data source to go on with; `None` for the stored one.

    Raises:
        MdnnError: not a run folder, a run folder of a newer version, or one with weights but no
            checkpoint (such as a quantized run).
    """
    if not (path / CONFIG).is_file():
        raise MdnnError(f"{path} is not a run folder to resume: it has no {CONFIG}")
    check_format(path)
    # A run that was killed before its first checkpoint starts over.
    if checkpoint.newest(path) is None and (path / WEIGHTS).exists():
        dtype = "float32"
        with contextlib.suppress(MdnnError):
            dtype = weights_dtype(path)
        if dtype != "float32":
            raise MdnnError(
                f"{path} has {dtype} weights, which cannot be trained: expected the "
                "run from which they were made"
            )
        raise MdnnError(f"{path} has no checkpoint to resume: there is none in {checkpoint.FOLDER}")
    own = load_config(path / CONFIG)
    length = {"minutes": config.train.minutes, "steps": config.train.steps}
    own = dataclasses.replace(own, train=dataclasses.replace(own.train, **length), mesh=config.mesh)
    check_mesh(own)
    if source is None:
        return own
    return anchored(dataclasses.replace(own, data=dataclasses.replace(own.data, source=source)))


def own_folders(path):
    """Returns a run folder and its subfolders.

    Raises:
        MdnnError: a subfolder is a symbolic link, whose target may not belong to the run.
    """
    inner = [folder for folder in path.iterdir() if folder.is_dir()]
    for folder in inner:
        if folder.is_symlink():
            raise MdnnError(f"{folder} is a link: expected the path of the run folder itself")
    return [path, *inner]


@dataclasses.dataclass(frozen=True)
class PreparedRun:
    """The prepared config, folder and data of a training.

    Args:
        config: `mdnn.Config` with all stages.
        resume: bool, whether the run folder exists.
        begun: bool, whether it has a checkpoint to go on from.
        stage: int, the stage of training of that checkpoint.
        words: the vocabulary of the run, or of the run that it starts from; `None`: from the data.
        start: `mdnn.training.init_from.Start`, or `None`.
    """

    config: Config
    resume: bool = False
    begun: bool = False
    stage: int = 0
    words: tuple | None = None
    start: Start | None = None

    @property
    def stages(self):
        """List of the `mdnn.Config`s of all stages."""
        return stage_configs(self.config)

    def open_task(self):
        """Returns the task of the current stage with its data open."""
        return task_for(self.stages[self.stage], self.words).open()

    def facts(self, task):
        """Returns the facts that must be equal in processes that train together, a dict of strings.

        Args:
            task: result of `open_task`.
        """
        data = self.config.data
        mix = tuple(dataclasses.replace(m, source="") for m in data.mix)
        data = dataclasses.replace(data, source="", mix=mix)
        found = task.fingerprint()
        return {
            "version of mdnn": mdnn.__version__,
            "version of Keras": keras.__version__,
            "config": dataclasses.replace(self.config, data=data).to_toml(),
            "data": "" if found is None else f"{found.length} bytes, hash {found.hash}",
            "vocabulary": "\n".join(task.words),
        }


def prepare_run(config, path, resume=False, source=None, init_from=None, init_optimizer=False):
    """Prepares a training; see `mdnn.train` for the arguments.

    Args:
        path: `pathlib.Path` of the run folder.

    Returns:
        `PreparedRun`.

    Raises:
        MdnnError: the folder, or the run to start from, cannot be used.
    """
    if resume:
        if init_from is not None or init_optimizer:
            raise MdnnError(
                "expected only one of init_from, which starts a new run, and resume, which "
                "continues one; received both"
            )
        config = resumed_config(config, path, source)
    else:
        if source is not None:
            raise MdnnError("source: expected only with resume; a new run takes data.source")
        check_new_folder(path, resumable=True)
    begun = resume and checkpoint.newest(path) is not None
    stage = checkpoint.read_newest(path)[1].stage if begun and config.train.stage else 0
    if stage >= len(stage_configs(config)):
        raise MdnnError(f"{path}: its checkpoint is of stage {stage}, its config has fewer")
    again = resume and not begun
    start = recorded_start(config, path) if again else make_start(config, init_from, init_optimizer)
    words = None
    if begun and has_vocabulary(config.tokens):
        words = read_vocabulary(path, config.tokens)
    elif start is not None and has_vocabulary(config.tokens) and start.run.words:
        words = start.run.words
    return PreparedRun(config, bool(resume), begun, stage, words, start)
