"""What people's names mean: parameters, attributes, methods, gradients.

A name is only a hint. Where it decides nothing, shapes and trials do.
"""

from __future__ import annotations

import re

LOSSES = ("loss", "cost_function")
"""Functions that may return gradients beside a cost."""
BACKWARD = (
    "backprop", "back_prop", "backward", "backpropagation", "back_propagation",
    "backward_propagation", "backpropagate", "back_propagate", "backward_pass", "back_pass",
    "backward_prop", "backward_propagate_error", "backward_propagate", "l_model_backward",
    "model_backward", "gradients", "gradient",
    "compute_gradients", "compute_gradient", "get_gradients", "compute_grads", "grad", "grads",
    "loss_and_gradients", "loss_and_grad", "cost_and_gradient", "cost_and_grad",
    "nncostfunction", "nn_cost_function", "cost_function_prime", "costfunctionprime",
    *LOSSES,
)  # fmt: skip
"""Functions that return or store gradients, the likeliest first."""
STEP = (
    "train_step", "train_on_batch", "update_mini_batch", "training_step", "gradient_step", "train",
    "fit", "step", "learn", "update", "sgd_step", "gradient_descent", "train_one", "optimize",
    "update_weights", "train_batch", "train_epoch",
)  # fmt: skip
"""Functions that change weights."""
UPDATES = {"updateweights", "updateparameters", "updatenetwork", "updateweight", "updateparams"}
"""Functions that change weights by deltas that are there already."""
FORWARD = (
    "forward", "feedforward", "feed_forward", "forward_pass", "forward_propagation",
    "forward_prop", "forwardprop", "forward_propagate", "l_model_forward", "model_forward",
    "propagate", "think", "predict", "query", "__call__",
)  # fmt: skip

_ROLES = {
    "X": "x inputs input inp data features feature a0 xtrain trainx xs images image sample samples "
    "example examples xi inputdata traininginputs inputlist inputslist batchx xbatch inputvector "
    "row trainingset trainingdatax xb inputarray xdata traindata x0 xin xvec inputvalues",
    "Y": "y target targets label labels t expected desired ytrue truth ytrain trainy ys yi "
    "targetslist targetlist trainingoutputs ybatch batchy expectedoutput desiredoutput onehoty "
    "yonehot yoh correct groundtruth answers actual tvec yb ydata targetvector wanted trainlabels "
    "outputarray expectedoutputs yvec desiredoutputs targetoutput targetoutputs yorig",
    "output": "output outputs yhat ypred al probs pred prediction predictions o out yp p "
    "probabilities aout hypothesis h activation scores logits",
    "lam": "lam lambda lambd lmbda reg regularization regularizationstrength regstrength regparam "
    "l2 l2reg l2lambda weightdecay decay lamb lbd regularisation reglambda regrate lamda lambdareg "
    "regcoef l2strength l2penalty wd",
    "rate": "lr learningrate eta alpha rate lrate stepsize learnrate learningr",
    "epochs": "epochs epoch niter niters iterations numiterations numiters nepochs numepochs "
    "maxiter maxiters steps nsteps iters trainingiterations numberofiterations",
    "cache": "cache caches memory activations forwardcache cached intermediates memo store ctx "
    "saved forwardresult forwardresults forwardpass state",
    "m": "m numexamples batchsize nexamples nsamples numsamples",
    "sizes": "sizes layersizes layers layerdims layersdims dims architecture topology structure "
    "neurons layernodes units networksizes layerssizes dimensions shape layersize",
    "size0": "inputlayersize inputsize inputdim nin ninput ninputs numinputs nx inputnodes "
    "nninputdim nfeatures numfeatures innodes din ni inputunits numinput inputneurons "
    "inputdimension insize",
    "size1": "hiddenlayersize hiddensize hiddendim nhidden numhidden nh hiddennodes hiddenunits h "
    "hidden hiddenneurons hid nhid nnhdim hdim hiddendimension numhiddenunits",
    "sizeK": "numlabels numclasses nout noutput noutputs outputsize outputdim outputlayersize ny "
    "outputnodes nclasses k numoutputs dout no outneurons nlabels outputneurons outputunits "
    "outputdimension outsize nnoutputdim",
    "hidden_sizes": "hiddendims hiddensizes hiddensizelist hiddenlayersizes hiddenlayers "
    "hiddenunitslist",
    "keep": "keepprob keepprobability pkeep keeprate",
    "drop": "dropout dropoutrate pdrop dropprob dropoutprob dropoutratio droprate",
    "flag": "verbose debug giveloss printloss printcost showloss plot show display log printerror",
    "pairs": "minibatch batch trainingdata trainingbatch dataset trainingexamples",
    "biases": "biases bias bs b biaslist biasvectors",
    "weights": "weights ws w weightlist weightslist weightmatrices matrices",
    "thetas": "thetas theta parameters params model nnparams thetalist network nn coefs "
    "paramdict thetavec thetaunrolled initialnnparams nnparameters parametersdict net",
}
_PARTS = {"regulari": "lam", "learningrate": "rate", "weightdecay": "lam", "iteration": "epochs",
          "epochs": "epochs"}  # fmt: skip
"""What a longer name is that has this in it."""
_OF_NETWORKS = frozenset(
    """size sizes dim dims num number n count nodes units neurons layer layers hidden weight weights
    bias biases w b grad grads gradient gradients delta deltas error errors loss cost d function fn
    activation test val valid validation""".split()  # noqa: SIM905
)
"""Words in the names of what is neither examples nor targets nor what a network makes of them."""
_WORDS = {
    role: frozenset(words.split())
    for role, words in {
        "output": "pred preds predicted prediction predictions hat guess yhat ypred",
        "Y": "label labels target targets expected desired truth true y outputs classes onehot "
        "answers",
        "X": "input inputs x images features samples examples",
    }.items()
}
"""What one word in a longer name says of it; the first that is there counts."""
_ROLE_OF = {name: role for role, names in _ROLES.items() for name in names.split()}
_IN_CONSTRUCTORS = {
    "inputs": "size0", "input": "size0", "outputs": "sizeK", "output": "sizeK", "x": "X", "y": "Y",
    "nodes": "sizes", "d": "size0", "c": "sizeK", "layer": "sizes", "m": "", "features": "size0",
    "classes": "sizeK", "h": "size1", "data": "X", "labels": "Y", "o": "sizeK", "i": "size0",
    "hidden1": "size1", "hidden2": "size2", "k": "sizeK",
}  # fmt: skip
_BLOCK = re.compile(
    r"(?P<kind>weights?|w|thetas?|syn(?:apses?)?|kernels?|coefs?|bias(?:es)?|intercepts?|b|wt)"
    r"_?(?P<where>\d|out(?:put)?|hid(?:den)?(?:_?\d)?|in(?:put)?|ih|ho|hh|xh|hy|h|o|ij|jk|"
    r"in(?:put)?_?hid(?:den)?|hid(?:den)?_?out(?:put)?|input_to_hidden|hidden_to_output|ho|i)?",
    re.IGNORECASE,
)
_BEFORE = re.compile(
    r"(?:d_?[jlecz]?_?d_?|d_?|grads?_?(?:of_)?|gradients?_?|delta_?|nabla_?|partial_?|g_?|dloss_?d?)",
    re.IGNORECASE,
)
_AFTER = re.compile(r"_?(?:grads?|gradients?|deltas?|update|adjustments?)", re.IGNORECASE)
_NOT_WEIGHTS = re.compile(
    r"(?:^d(?:elta)?_?[a-z]{0,2}_?\d*$|grad|nabla|delta|veloc|moment|cache|^m_|^v_|adam|update|adjust"
    r"|^d[_A-Z]|^z\d*$|^zs$|^a\d*$|activation|input$|output$|error|mask|weighted|_x$|^x|^y|^X|^Y|loss|cost)"
)


def plain(name: str) -> str:
    """Return *name* in small letters and without underscores."""
    return name.lower().replace("_", "")


def role_of(name: str) -> str:
    """Return what a parameter of this name is, "" if the name is not known.

    >>> role_of("learning_rate"), role_of("X_train"), role_of("W2"), role_of("foo")
    ('rate', 'X', 'W2', '')
    """
    role = _ROLE_OF.get(plain(name), "")
    if role and name not in ("b", "w", "W", "B"):
        return role
    block = block_of(name)
    if block is not None and block[1]:
        return name
    if re.fullmatch(r"[azh]s?_?\d", name, re.IGNORECASE):
        return f"named:{name}"
    for part, of_part in _PARTS.items():
        if part in plain(name):
            return of_part
    if re.fullmatch(r"d?_?(?:cache|memory)_?\d?", name, re.IGNORECASE):
        return "cache"
    return role or _role_of_words(name)


def words_of(name: str) -> list[str]:
    """Return the words in a name, in small letters.

    >>> words_of("training_set_inputs"), words_of("outputPred2")
    (['training', 'set', 'inputs'], ['output', 'pred', '2'])
    """
    found = re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+", name)
    return [word.lower() for word in found]


def _role_of_words(name: str) -> str:
    """Return what a name of several words means, by the one that says it; "" if none does."""
    words = words_of(name)
    if len(words) < 2 or _OF_NETWORKS & set(words):
        return ""
    for role, known in _WORDS.items():
        if known & set(words):
            return role
    return ""


def role_in_constructor(name: str) -> str:
    """Return what a parameter of a constructor is, "" if the name is not known."""
    small = plain(name)
    numbered = re.fullmatch(r"(?:n|num)?(?:hidden|h)(?:size|dim|nodes|units|layersize)?(\d)", small)
    if numbered:
        return f"size{numbered[1]}"
    if "perlayer" in small:  # how many units, of all layers
        return "sizes"
    return _IN_CONSTRUCTORS.get(small, _ROLE_OF.get(small, ""))


def sounds_like_gradients(name: str) -> bool:
    """Whether a function of this name seems to compute gradients, or to train.

    >>> [sounds_like_gradients(name) for name in ("backPropSGD", "numerical_gradient", "forward")]
    [True, False, False]
    """
    small = plain(name)
    return any(part in small for part in _GRADIENTS) and not any(part in small for part in _OTHERS)


_GRADIENTS = ("backprop", "backward", "backpass", "gradient", "grads", "updateweights", "trainone",
              "trainstep", "trainbatch", "trainepoch", "trainmodel", "trainnetwork",
              "trainnn")  # fmt: skip
_OTHERS = ("numeric", "check", "approx", "clip", "zero", "norm", "plot", "eval", "estimate", "test")


def is_upstream(name: str) -> bool:
    """Whether a parameter of this name is the gradient of an output: what one layer is handed.

    >>> [is_upstream(name) for name in ("dout", "output_gradient", "dvalues", "y", "targets")]
    [True, True, True, False, False]
    """
    small = plain(name)
    return small in _UPSTREAM or "grad" in small or small.startswith(("dout", "dnext"))


_UPSTREAM = ("dout", "dz", "da", "dy", "dl", "dldy", "dvalues", "upstream", "delta", "error",
             "outputerror", "dlda", "dnext", "dtop", "djda", "accumgrad")  # fmt: skip


def block_of(name: str) -> tuple[str, str] | None:
    """Return ("W" or "b", where) if *name* is that of one layer's weights or biases.

    >>> block_of("W1"), block_of("bias_hidden"), block_of("theta"), block_of("x")
    (('W', '1'), ('b', 'hidden'), ('W', ''), None)
    """
    found = _BLOCK.fullmatch(name)
    if found is None:
        return None
    kind = "b" if found["kind"].lower().startswith(("b", "intercept")) else "W"
    return kind, (found["where"] or "").lower()


def gradient_of(name: str) -> tuple[str, str] | None:
    """Return ("W" or "b", where) if *name* is that of a gradient by one layer's weights or biases.

    >>> [gradient_of(name) for name in ("dW1", "Theta2_grad", "dJdW1", "delta_W1", "dA1", "W1")]
    [('W', '1'), ('W', '2'), ('W', '1'), ('W', '1'), None, None]
    """
    after = _AFTER.search(name)
    if after is not None and after.end() == len(name) and after.start():
        return block_of(name[: after.start()])
    for end in range(1, len(name)):
        found = block_of(name[end:]) if _BEFORE.fullmatch(name[:end]) else None
        if found is not None:
            return found
    return None


def may_hold_weights(name: str) -> bool:
    """Whether an attribute of this name may hold weights: not gradients, errors or velocities."""
    return _NOT_WEIGHTS.search(name) is None


def order_of(where: str, given: int) -> tuple[int, int]:
    """Return a key that sorts layers from the input on; *given* is where the name stood."""
    if where.isdigit():
        return int(where), 0
    if where in ("ih", "xh", "in", "input", "ij") or where.startswith(("in_", "input_", "inputh")):
        return 1, 0
    if where in ("o", "out", "output", "ho", "hy", "jk") or where.endswith(("output", "out")):
        return 99, given
    digits = re.search(r"\d", where)
    return (int(digits[0]) + 1 if digits else 2), given
