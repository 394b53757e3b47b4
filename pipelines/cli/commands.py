"""All commands at a glance: where each one's function is, what it does, and an example.

A function is imported when its command is called; its parameters are the command's options, and
its result is the exit code. A new command is a function in a module beside this one, and a line
here.
"""

from __future__ import annotations

COMMANDS: dict[str, tuple[tuple[str, str, str, str], ...]] = {
    "Run an experiment, e.g. fuse-then compare demo": (
        (
            "compare",
            "run:compare",
            "Fuse, detect, segment and score: all tables of an experiment.",
            "fuse-then compare demo --set seeds=[0,1,2]",
        ),
        (
            "detect",
            "run:detect",
            "Train a detector on each method's images: AP per class.",
            "fuse-then detect table4 --devices cuda:0,cuda:1",
        ),
        (
            "segment",
            "run:segment",
            "Train a segmenter on each method's images: IoU per class.",
            "fuse-then segment table5 --set segmentation.epochs=50",
        ),
        (
            "score",
            "run:score",
            "Measure how good fused images are: those of an experiment, or of a folder.",
            "fuse-then score --infrared A --visible B --fused C --metrics SD SSIM",
        ),
        (
            "reconstruct",
            "run:reconstruct",
            "Reconstruct the MRI of shorter scans, fuse it, and score what that costs.",
            "fuse-then reconstruct reconstruct-real --jobs 1",
        ),
        (
            "train-fusion",
            "run:train_fusion",
            "Train the fusion networks of an experiment, and print where their weights are.",
            "fuse-then train-fusion demo --jobs 1",
        ),
    ),
    "See what it will do, and what it found, e.g. fuse-then table demo": (
        (
            "plan",
            "plan:plan",
            "Print each stage of an experiment: cached, to run or blocked, and why.",
            "fuse-then plan demo",
        ),
        (
            "power",
            "plan:power",
            "Say how many images, scenes, folds and seeds it takes to see a difference.",
            "fuse-then power scenes --difference 1.0 --from scenes",
        ),
        (
            "table",
            "plan:table",
            "Print the tables of an experiment from whatever is finished.",
            "fuse-then table demo --format latex",
        ),
        (
            "paper",
            "plan:paper",
            "Print one of the paper's tables as the paper printed it.",
            "fuse-then paper table4 --format md",
        ),
        (
            "report",
            "publish:report",
            "Write one HTML page of whatever is finished.",
            "fuse-then report demo --out demo.html",
        ),
        (
            "mlflow sync",
            "publish:sync",
            "Write to MLflow what is missing there: runs, tables, curves, models.",
            "fuse-then mlflow sync --uri http://localhost:5000",
        ),
    ),
    "Fuse and look, e.g. fuse-then fuse average --infrared A --visible B --out C": (
        (
            "fuse",
            "fuse:fuse",
            "Fuse two folders of images into a third.",
            "fuse-then fuse laplacian --infrared A --visible B --out C --set levels=5",
        ),
        (
            "methods",
            "fuse:methods",
            "List the fusion methods: paper, licence, parameters, checkpoint.",
            "fuse-then methods --json",
        ),
        (
            "sheet",
            "look:sheet",
            "Put fused images of several folders side by side, with a zoom.",
            "fuse-then sheet ours=a theirs=b --infrared A --visible B --out sheet.png",
        ),
        (
            "explain",
            "look:explain",
            "Draw how a network's feature maps repeat each other.",
            "fuse-then explain mmdrfuse/teacher --infrared ir/1.png --visible vi/1.png",
        ),
        (
            "profile",
            "measure:profile",
            "Measure parameters, time and memory of fusion methods.",
            "fuse-then profile ifcnn mmdrfuse/teacher --size 640x480 --threads 2",
        ),
    ),
    "Data and weights, e.g. fuse-then data verify mine.yaml": (
        (
            "data verify",
            "assets.data:verify",
            "Decode every file of a dataset: counts, sizes, classes, problems.",
            "fuse-then data verify mine.yaml",
        ),
        (
            "data split",
            "assets.data:split",
            "Write train, val and test to a file that a dataset's YAML can name.",
            "fuse-then data split mine.yaml --out mine-folds.yaml --folds 5",
        ),
        (
            "schema",
            "assets.schema:schema",
            "Print what an experiment's or a dataset's YAML may hold, for your editor.",
            "fuse-then schema experiment",
        ),
        (
            "weights list",
            "assets.weights:weights_list",
            "List the authors' published weights, and what is here.",
            "fuse-then weights list",
        ),
        (
            "weights verify",
            "assets.weights:weights_verify",
            "Say which published checkpoint a file is, by its digest.",
            "fuse-then weights verify model.pth",
        ),
        (
            "weights path",
            "assets.weights:weights_path",
            "Print where a checkpoint lies, or would lie.",
            "fuse-then weights path mmdrfuse/student",
        ),
        (
            "weights fetch",
            "assets.weights:weights_fetch",
            "Download a checkpoint, or all that an experiment lacks, and check it.",
            "fuse-then weights fetch mmdrfuse/student",
        ),
        (
            "store verify",
            "assets.store:verify",
            "Read all that is finished again, and say what is broken.",
            "fuse-then store verify --repair",
        ),
    ),
}
"""By group: a command's words, its function, what it does, and an example."""
FAMILIES = {
    "mlflow": ("Show in MLflow what the store holds.", "fuse-then mlflow sync demo"),
    "data": (
        "Look at a dataset before using it, and split it.",
        "fuse-then data verify mine.yaml",
    ),
    "store": ("Look after finished stages.", "fuse-then store verify"),
    "weights": (
        "List, check, find and fetch the authors' published weights.",
        "fuse-then weights list",
    ),
}
"""What the first of a command's two words stands for."""
