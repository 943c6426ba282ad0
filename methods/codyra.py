"""CoDyRA (Lu et al., Adaptive Rank, Reduced Forgetting, arXiv 2412.01004 v4).

    dW = sum_i w_i B_:,i A_i,:                           (eq. 2, for every linear map)
    w <- sign(w) max(|w| - kappa, 0)  after a step       (eq. 4)
    W <- W + dW over w_i != 0         after a task

Fresh low-rank updates for every task, on all linear maps of all blocks of both towers; A is
Kaiming-uniform, B zero, the gates w are N(0, 1). After a dense part of the task, every optimiser
step is followed by a soft threshold of all gates, which rises to kappa_max: an L1 penalty
(eq. 3). Ranks whose gate is zero are dropped, the others merged. 4,423,680 scalars in the factors
of ViT-B/16 at rank 16, and 2,304 gates.

Details are those of the official code (Artificer-AI-Lab/CoDyRA): AdamW with betas (0.9, 0.9999),
no weight decay, no alpha / R, no dropout; the loss is the sum of image-to-text cross-entropy over
the current classes and text-to-image cross-entropy (see `both_ways`); the steps at which the
threshold rises. AdamW's moments of a pruned gate live on, so it can come back, if a step moves it
by more than kappa. On image-caption tasks the two terms are CLIP's. Differs:
- prox: the code also drops gates in (kappa, 2 kappa), against eq. 4; prox=released does.
- text_rows: the code divides the second term by the number of all classes so far, though only the
  current ones contribute, so that it fades as tasks pass; text_rows=seen does. Here, by the
  current ones.
- Below 50 steps after the dense part the code never prunes (`Pruning.threshold`); here the
  threshold still rises to kappa_max.
- Merged when the task ends, and evaluated merged; the code evaluates the unmerged update and
  merges when the next task starts: the same function up to rounding.
- The code keeps the factors of past tasks for its checkpoints; nothing reads them.
- Embeddings of earlier classes, which the code computes only to mask them, are not computed.

What pruning keeps is mostly drawn, not learned: a gate moves by about the sum of learning rates
(0.125 in 500 steps at 5e-4 with half a cosine) and shrinks by the sum of thresholds (0.65 in 500
steps). The report of each task therefore has, beside the kept ranks, those that pruning keeps of
untrained gates: 8.2 of 16, and 11.2 with dense=0.7. As kappa_max is absolute, the number of steps
decides: with these defaults 15 of 16 are left after 60 steps, 3.1 after 1,000, 0.15 after 2,000, so
that tasks much longer than the paper's need a smaller kappa_max.

Kept between tasks: nothing but the merged model. A step costs the plain one's plus the low-rank
products; the texts of all current classes are encoded at every step.
"""

from benchmark.api import GatedMethod


class CoDyRA(GatedMethod):
    """Gated low-rank updates, pruned and merged after each task."""

    label = "CoDyRA"
    variants = {
        "dense70": {"dense": 0.7},  # section 4.1 for MTIL
        "released": {"prox": "released", "text_rows": "seen"},  # official code
    }
