"""Sequential full fine-tuning, the baseline FT of the DAR paper (Table 1).

All weights but the similarity scale are trained on one task after the other with CLIP's loss;
optimiser and schedule start anew with every task. Every hook is the protocol's default. The budget
is the suite's; that of `retrieval` is the paper's for all methods (section 4.1: 20 epochs, batches
of 256, 1e-4), though its numbers of FT look as if the rate of FT had been lower (inferred).
"""

from benchmark.api import Method


class FineTuning(Method):
    """No mechanism against forgetting."""

    label = "FT"
    paper = "Dobrzeniecka et al., Beyond classification, ICML 2026 (section 4)"
