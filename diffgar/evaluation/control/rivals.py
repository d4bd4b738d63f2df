"""Steering methods of others: DEO, the sliders of a sparse autoencoder, and captions that say the negation in words."""

from diffgar.evaluation.control.answers import Answer
from diffgar.evaluation.control.bench import Bench
from diffgar.evaluation.control.deo import optimised
from diffgar.evaluation.control.method import METHODS, SteeringMethod, Strength
from diffgar.evaluation.control.sparse import slid


class Deo(SteeringMethod):
    """Moves the plain query by a few gradient steps away from the value's query; see `optimised`."""

    name, example = "deo", {"repulsion": 1, "steps": 20}

    def answer(self, bench: Bench, strength: Strength) -> Answer:
        return optimised(bench.plain(), bench.avoided(), **strength)


class TeacherDeo(SteeringMethod):
    """The same from the caption's own embedding, away from the value's: DEO as it was published."""

    name, example, needs_joint, starts_from_plain = "teacher_deo", Deo.example, True, False

    def answer(self, bench: Bench, strength: Strength) -> Answer:
        return optimised(bench.teacher(), bench.avoided_text(), **strength)


class Sae(SteeringMethod):
    """Suppresses, in the plain query, the sparse features of the tracks near to the value's query; see `slid`."""

    name, example, learns = "sae", {"suppress": 1, "amplify": 0}, True

    def answer(self, bench: Bench, strength: Strength) -> Answer:
        return slid(bench.sparse(), bench.training_tracks(), bench.plain(), bench.avoided(), **strength)


class TeacherSae(SteeringMethod):
    """The same in the caption's own embedding, with the features of the tracks near to the value's."""

    name, example, learns, needs_joint, starts_from_plain = "teacher_sae", Sae.example, True, True, False

    def answer(self, bench: Bench, strength: Strength) -> Answer:
        return slid(bench.sparse(), bench.training_tracks(), bench.teacher(), bench.avoided_text(), **strength)


class Said(SteeringMethod):
    """No steering: the caption itself says the negation, "piano without drums", and the model is to heed it."""

    name, starts_from_plain = "said", False

    def answer(self, bench: Bench, strength: Strength) -> Answer:
        return Answer(bench.said().plain())


class SaidTeacher(SteeringMethod):
    """The own embedding of a caption that says the negation."""

    name, needs_joint, starts_from_plain = "said_teacher", True, False

    def answer(self, bench: Bench, strength: Strength) -> Answer:
        return Answer(bench.said().teacher())


class SaidParsed(SteeringMethod):
    """`compose_penalty`, where the caption and the negative are what is heard in a caption that says the negation."""

    name, starts_from_plain = "said_parsed", False
    example = {"penalty": 1, "guidance": 3, "negative": 1, "interval": [0.3, 0.9]}

    def answer(self, bench: Bench, strength: Strength) -> Answer:
        return METHODS["compose_penalty"].answer(bench.parsed(), strength)


RIVALS: tuple[type[SteeringMethod], ...] = (Deo, TeacherDeo, Sae, TeacherSae, Said, SaidTeacher, SaidParsed)
