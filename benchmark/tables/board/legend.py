"""What the leaderboard's words and numbers mean."""

from ...stats.power import POWER
from ..spec import UPPER_BOUND
from .certainty import ALPHA

SEEDS_TO_RANK = 3
LEGEND = f"""## Legend

Percent. Means over two orders, each the mean of its seeds: forward and reverse, or, where a suite's
protocol has an order II, that (`ii`) and order I (forward); where neither was run, over the orders
that were. Nothing is averaged over a hole: a number that needs a failed cell is a dash.

`53.8 ± 0.3 (1.1)`: the mean; ± the standard deviation over training seeds (ddof = 1), pooled over
these orders; in brackets the standard error from the draw of the test images, the trained models
given (all captions of an image together), where the records have evidence of what each query got.
Neither says what other tasks would give; whether it says what other shots would, stands below each
board of a few-shot suite. What is in brackets is common to all methods in part, so that a
difference may be surer than its two numbers: the ranks say how sure, and
`cl-bench compare A B` does for two methods.

- **Rank**: between which ranks a method lies: `2-5` is 1 + the number of methods that are
  significantly better, and the number of all minus those significantly worse. Every pair of a board
  is compared on the same test images, by the same orders and seeds, in the mean of both directions
  at the end. A difference is held against two variances: that of the test images, and that of the
  training seeds. Both orders of a seed count as one, as they share draws. What three seeds say of
  their variance is little, so that all pairs of a board share it as far as they agree (empirical
  Bayes, Smyth 2004), and none is judged by less than it showed. Holm's correction for all pairs,
  {100 * ALPHA:g} %. Only `1` is a winner: its interval holds no other rank.
- **Smallest difference**: the true difference that a single comparison of two methods of this board
  finds in {100 * POWER:g} % of the cases, uncorrected, with {SEEDS_TO_RANK} seeds each.
- **Chance**: the score of answers drawn blindly.

- **T→I R@1, I→T R@1**: Recall@1 at the end, mean over the learned tasks (a labelled task counts
  with its accuracy).
- **Transfer, Average, Last** (labelled suites): mean accuracy of a task before it is learned, over
  all steps, and at the end; means over tasks.
- **Δ zero-shot**: the end minus the untouched backbone, mean of both directions.
- **Just learned**: a task just after learning it minus zero-shot, mean over tasks and both
  directions; `joint` learns at the end alone.
- **Forgetting**: just after learning minus the end, mean over all tasks but the last and both
  directions; negative when later tasks help.
- **OOD**: last step minus step 0 on the held-out sets, mean over sets (a set's score is the mean
  Recall@1 of both directions, or its accuracy); a dash where a run lacks one that others have.
- **Trained**, **Kept**: trainable parameters, and bytes kept between tasks; the largest run's.
- **Ranked** (sorted by the mean of both directions at the end): {SEEDS_TO_RANK} seeds or more in
  both orders over all tasks of the suite, made by committed code with the suite's settings, no
  failed cell at any step, evidence of what each query got, and no error by `cl-bench validate`.
  `{UPPER_BOUND}`, which learns all tasks at once, has no rank, nor has what is told more than a
  method may know. Below a board stands whether it is an upper bound of that board. Runs of
  `codyra` in which rank and targets, kappa_max or dense alone are others are in Figures 7 and 8,
  and on no board.
- **Settings**: how they were chosen, as the records say: `paper's`, all of them the paper's or its
  code's; `default`, one of them is ours, see `cl-bench ls NAME`; `tuned`, by a sweep on validation
  images held out of training data, after so many trials; `given`, by whoever made the run.
- **Over orders of tasks**: the score (mean of both directions at the end) in every order, the
  worst, and the spread, the best minus the worst. *Seeds alone*: the spread that the draws of the
  seeds would make on average, were all orders alike. A spread of that size says nothing of orders.
- **Verified**: `self`, the word of whoever made the runs; `evidence`, every score recomputes from
  what each query got; `replayed`, run again by others. The least of a line's runs.
- **Badges** in brackets: what the method used beyond its own weights. Some are told what no method
  may know of a test item: its task (`task id`), what it is paired with (`test pairing`), which
  items of its set it comes together with (`test batch`)."""
