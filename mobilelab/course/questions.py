"""The quiz questions of the chapters: every option explains itself."""

from __future__ import annotations

from dataclasses import dataclass

from mobilelab.core.errors import MobileLabError


@dataclass(frozen=True)
class Option:
    """One answer that can be chosen."""

    text: str
    why: str
    """What is right or wrong about it; names the misconception where it is wrong."""
    right: bool = False


@dataclass(frozen=True)
class Question:
    """A multiple-choice question with exactly one right option."""

    key: str
    """Chapter and number, for example ``03.1``."""
    text: str
    options: tuple[Option, ...]


QUESTIONS: tuple[Question, ...] = (
    Question(
        "00.1",
        "A diary app runs its network on the phone. Every night it uploads the pictures of the "
        "day, and its makers train the next version with them. Which of the gains of section 2 "
        "are left?",
        (
            Option(
                "All of them: the network runs on the phone, so the pictures are private.",
                "Takes `on the phone` for a promise about the pictures. Where the network runs "
                "decides where the answer is made; what the app sends decides who can see them.",
            ),
            Option(
                "None: an app that needs the connection at night depends on it all day.",
                "Mixes up training and answering. The upload serves the next version; the one "
                "on the phone answers without it.",
            ),
            Option(
                "Answers without a connection and without a wait, but not the privacy.",
                "Answering needs no server, as section 2 showed by taking the network away. "
                "Privacy rests on what is not sent, and these pictures are sent.",
                right=True,
            ),
        ),
    ),
    Question(
        "00.2",
        "A team gives our network, with the same weights, pictures that are twice as wide and "
        "twice as high. What happens to its file and to its multiply-accumulates?",
        (
            Option(
                "Both grow about four times, as the number of pixels does.",
                "Believes that every pixel has weights of its own. A convolution uses the same "
                "weights at every position, so the file does not know how large the picture is.",
            ),
            Option(
                "Both stay as they are, because it is the same network.",
                "Takes the work for a property of the weights. Section 3 counts every use of a "
                "weight, and there are more positions to use it at.",
            ),
            Option(
                "The file stays, and the work doubles, as the sides do.",
                "Counts along one side. A convolution visits the positions of an area, and twice "
                "as wide and twice as high is four times the area.",
            ),
            Option(
                "The file stays, and the work grows about four times.",
                "The file holds the weights (section 4), and they are the same. The convolutions "
                "apply them at four times as many positions, and the work counts every one.",
                right=True,
            ),
        ),
    ),
    Question(
        "00.3",
        "On her laptop a colleague's network takes 5 ms for an image. She looks up how "
        "much slower a phone's core is, multiplies, and reports that the network is fast enough "
        "on the phone. What do you tell her?",
        (
            Option(
                "Time it on the phone: the 5 ms belong to her laptop.",
                "The chapter never turns a time of the host into one of a phone. What a phone "
                "needs is measured on that phone, or cited for the network that was timed there.",
                right=True,
            ),
            Option(
                "That is fine, if a published source gives the factor and the phone.",
                "Takes a phone for the same computer at another speed. Its caches and its kernels "
                "differ too, so one network's factor need not be another's.",
            ),
            Option(
                "Multiply by the ratio of multiply-accumulates, not of the cores.",
                "Takes a count of work for a time. Section 3 counts what there is to do; how long "
                "a processor takes for it has to be measured there.",
            ),
        ),
    ),
    Question(
        "01.1",
        "You train five times with five learning rates, keep the network with the best accuracy "
        "on the test split, and report that accuracy. What is wrong?",
        (
            Option(
                "Nothing: no gradient was ever computed from a test image.",
                "Believes that only gradients learn from data. To choose the best of five is to "
                "learn from the test images too, and section 1 lets no decision look at them.",
            ),
            Option(
                "The figure is too kind: the test split has taken a decision.",
                "The best of five is partly the luckiest on these images, and new ones will not "
                "repeat the luck. Choose on other images, and open the test split once.",
                right=True,
            ),
            Option(
                "The lowest training loss should have chosen, since it was minimized.",
                "Takes a low training loss for a good network. It says how well the images "
                "already seen were learned, and overfitting lowers it as well.",
            ),
        ),
    ),
    Question(
        "01.2",
        "A new camera takes brighter pictures. Somebody puts the trained network into `train()` "
        "mode, shows it a few hundred of them under `torch.no_grad()`, without an optimizer, and "
        "calls `eval()`. Is it still the same network?",
        (
            Option(
                "Yes: without gradients and an optimizer nothing in it can move.",
                "Takes `no_grad` for a lock. It keeps gradients from being recorded; BatchNorm's "
                "running averages move without any.",
            ),
            Option(
                "Yes: `eval()` brings back the state from before `train()`.",
                "Takes `eval()` for an undo. It only says that the running averages are used from "
                "now on, whatever they have become.",
            ),
            Option(
                "No: BatchNorm's weight and bias have adapted to the camera.",
                "Mixes up the two pairs of numbers in a BatchNorm. Weight and bias are parameters "
                "and need an optimizer; the running averages only need images.",
            ),
            Option(
                "No: BatchNorm's running averages have followed the new pictures.",
                "In `train()` mode every batch moves the averages a bit, gradients or not. "
                "`eval()` computes with them, so they are what ships (section 3).",
                right=True,
            ),
        ),
    ),
    Question(
        "01.3",
        "To compare two networks you call the first a thousand times, then the second a thousand "
        "times. As the second begins, so does a backup of the laptop, and the second comes out "
        "slower. What makes the comparison fair?",
        (
            Option(
                "Calls of both in turn, so that a disturbance meets both.",
                "In turn, both get the same share of good and bad moments, and the ratio can be "
                "trusted. Section 2 timed its two layers like this.",
                right=True,
            ),
            Option(
                "More calls of each, because noise averages out in the end.",
                "Takes a lasting disturbance for noise around the true value. More calls under "
                "the same backup only make the wrong figure steadier.",
            ),
            Option(
                "The median of each run, because it ignores the slow calls.",
                "Expects too much of the median. It passes over a few slow calls (section 6), but "
                "here nearly all calls of the second network are slow.",
            ),
            Option(
                "More threads, so that the backup does not get in the way.",
                "Takes threads for spare power. Their number is part of what is measured and "
                "stays fixed (section 6); more of them compete with the backup for the same cores.",
            ),
        ),
    ),
    Question(
        "02.1",
        "A `forward` begins with `if image.mean() < 0.2:` and brightens what is dark. It was "
        "traced with a daylight photo, and trace and Python program agree on five hundred "
        "daylight photos. Which further check can catch a mistake of the trace?",
        (
            Option(
                "Ten times as many daylight photos, through both programs.",
                "Takes number for variety. All daylight photos take the same branch, and that is "
                "the one that the trace holds.",
            ),
            Option(
                "Images made with `torch.rand`, through both programs.",
                "Believes that random numbers get everywhere. Evenly spread between 0 and 1 their "
                "mean is about one half, so they take the daylight branch too.",
            ),
            Option(
                "Photos taken in the dark, through both programs.",
                "The decision depends on the numbers in the input, so both of its sides have to "
                "be compared. The trace has no brightening (section 3), and dark photos show it.",
                right=True,
            ),
            Option(
                "The same photos, through the saved and loaded trace.",
                "Looks for the loss in the file. The branch was lost when the trace was made, and "
                "saving faithfully keeps what is there.",
            ),
        ),
    ),
    Question(
        "02.2",
        "The slip of section 3, but with a script: the network is in training mode when "
        "`torch.jit.script` compiles it. The file is saved, loaded with `torch.jit.load`, and "
        "only then gets its `.eval()`. What does that do?",
        (
            Option(
                "It helps: the script still asks for the mode, and the flag answers.",
                "A script keeps the question: its dropout reads `self.training` (section 4). Call "
                "`.eval()` before converting all the same; a file in training mode arrives so.",
                right=True,
            ),
            Option(
                "It changes nothing: the dropout has `True` written into it.",
                "Takes a script for a trace. A trace writes down the mode of its one run; a "
                "script reads the flag at every call.",
            ),
            Option(
                "It was not needed: compiling puts a network into eval mode.",
                "Believes that whatever is exported is ready for inference. Compiling keeps the "
                "mode that it finds, so this file would have gone on dropping values.",
            ),
            Option(
                "It is too late: compiling has moved BatchNorm's running averages.",
                "Believes that scripting runs the network. Tracing does, on its example, and that "
                "moved the averages in section 3; scripting reads the source and needs no image.",
            ),
        ),
    ),
    Question(
        "02.3",
        "A scripted network has an attribute `threshold`, a float that `forward` reads. After "
        "loading, the app sets it anew for each customer. Now somebody adds `torch.jit.freeze` "
        "before saving. What happens to the app's setting?",
        (
            Option(
                "It works as before: freezing removes only what `forward` does not read.",
                "Concludes too much from `classes` in section 5. What `forward` does not read is "
                "dropped, and what it does read becomes a constant; neither stays to be set.",
            ),
            Option(
                "It cannot reach the answers: the value at freezing is now a constant.",
                "Freezing writes what `forward` reads into the program. What an app has to vary "
                "is better an argument of `forward`, like `temperature` in section 4.",
                right=True,
            ),
            Option(
                "It works as before: only weights and other tensors become constants.",
                "Believes that freezing is about weights alone. The training flag is no tensor, "
                "and section 5 counted how few of the questions about it were left.",
            ),
        ),
    ),
    Question(
        "03.1",
        "One calibration image is broken: its values reach far beyond those of all others. The "
        "observer keeps the smallest and the largest value that it has seen. What does that do "
        "to ordinary images?",
        (
            Option(
                "Hardly anything: one image among a hundred barely moves an average.",
                "Takes a range for an average. A largest value is set by a single image, however "
                "many ordinary ones there are.",
            ),
            Option(
                "They lose detail: most levels lie where they have no values.",
                "The levels are spread over a range that ordinary images hardly use. A range that "
                "is too wide has a coarse step, and the rounding errors grow (section 1).",
                right=True,
            ),
            Option(
                "They are clipped: the ends of the range no longer fit their values.",
                "Takes the range for too narrow. Clipping meets what reaches beyond its ends "
                "(section 1), and this range is far too wide.",
            ),
            Option(
                "They suffer from coarser weights: calibration sets the scales of those.",
                "Believes that calibration measures the weights. Their range can be read off the "
                "weights themselves; images set the ranges of the activations (section 4).",
            ),
        ),
    ),
    Question(
        "03.2",
        "A new block scales its channels: `return x * gate`, where both come out of int8 layers. "
        "Everything else is done as in section 3. When does the `*` make itself known?",
        (
            Option(
                "In `prepare`, which finds that `forward` uses an operation without a module.",
                "Believes that `prepare` reads code. It walks through the modules and gives them "
                "observers, and a `*` in `forward` is no module.",
            ),
            Option(
                "In calibration, when nobody is there to observe the range of the product.",
                "Expects observers to miss one another. Each watches its own module, and in float "
                "a `*` is fine, so nobody complains (section 5).",
            ),
            Option(
                "Never: bytes that are multiplied keep the scale that they came with.",
                "Takes the bytes for the values. The product has a range of its own, so it needs "
                "a scale of its own, which somebody has to observe.",
            ),
            Option(
                "At the first image after `convert`, with an error about `QuantizedCPU`.",
                "Only then does an ordinary `aten::` operation meet int8 tensors, as with the `+` "
                "of section 5. The way out is the same: `FloatFunctional`, here its `mul`.",
                right=True,
            ),
        ),
    ),
    Question(
        "03.3",
        "Not hidden channels this time: you want to drop half of the output channels of a block "
        "that computes `x + y`. Which layers have to be cut?",
        (
            Option(
                "Into this block alone: its projection and the BatchNorm after that.",
                "Takes output channels for hidden ones. Hidden channels are used nowhere else "
                "(section 8); these leave the block.",
            ),
            Option(
                "Into this block and into the next one, which reads its output.",
                "Thinks of the reader and forgets the sum. In `x + y` both sides need the same "
                "channels, and `x` comes from the block before.",
            ),
            Option(
                "Into every block that adds to this sum, and into all that read it.",
                "Whoever reads a channel has to forget it too, and a sum reads both of its sides. "
                "Hidden channels are easier because they stay inside one block (section 8).",
                right=True,
            ),
            Option(
                "Nowhere: zeros in these channels save the same bytes and time.",
                "Takes zeros for missing channels. A zero has its place in the file and is "
                "multiplied like any other number, as section 8 measured.",
            ),
        ),
    ),
    Question(
        "04.1",
        "A trained network went through the printed recipe, and its biases are lost. Which of "
        "these checks before the release turns red?",
        (
            Option(
                "Ten test images, through the optimized module and the eager model.",
                "It compares with the network that was meant, with real weights, on real inputs. "
                "An error as large as that of section 2 does not need more images.",
                right=True,
            ),
            Option(
                "`generate_mobile_module_lints`, run on the optimized module.",
                "Takes a lint for a test. Lints read the graph and do not run it; section 8 saw "
                "them find nothing wrong with this very module.",
            ),
            Option(
                "A fresh process that loads the file and gets ten finite scores.",
                "Takes running for being right. The broken module of section 1 gave finite scores "
                "in the right shape, too.",
            ),
            Option(
                "The `.pt` and the `.ptl` of the optimized module, side by side.",
                "Compares two copies of one mistake: both files hold the same module, so they "
                "agree. Section 6 compared each of its files with the float model.",
            ),
        ),
    ),
    Question(
        "04.2",
        "In another network every convolution is followed by ReLU, and only then by BatchNorm. "
        "It is scripted in eval mode and goes through `optimize_for_mobile`. What is left in the "
        "graph?",
        (
            Option(
                "Packed convolutions alone: BatchNorm and ReLU are merged in any order.",
                "Takes a pass for a search through the whole network. Each pass looks for "
                "neighbors, and here convolution and BatchNorm are none.",
            ),
            Option(
                "Packed convolutions and the ReLUs: BatchNorm is folded across them.",
                "Believes that BatchNorm can always be folded. Scale and shift can move into the "
                "weights only if nothing stands between; behind a ReLU the answers would change.",
            ),
            Option(
                "Packed convolutions that contain the ReLU, and every BatchNorm.",
                "ReLU directly follows the convolution, so packing takes it in as a lower bound "
                "(section 5). BatchNorm does not, so it stays a step of its own.",
                right=True,
            ),
            Option(
                "Plain convolutions, ReLU and BatchNorm: without folding there is no packing.",
                "Takes the passes for one package. Section 5 left folding out, and all "
                "convolutions were packed all the same.",
            ),
        ),
    ),
    Question(
        "04.3",
        "A colleague's network takes color photos, stored channel by channel. In section 7 "
        "`.contiguous(memory_format=torch.channels_last)` gained nothing. Does that hold for her?",
        (
            Option(
                "Yes: `.contiguous` never moves a number, it takes `.to` to do that.",
                "Makes a rule of the special case. `.contiguous` does nothing where a tensor "
                "already has the format; with one channel it has, with three it has not.",
            ),
            Option(
                "No: with three channels the two orders differ, so the call moves them.",
                "Pixel by pixel is then really another order, and the kernels get what they read. "
                "Our digits were the special case: one channel counts as both orders at once.",
                right=True,
            ),
            Option(
                "Yes: only the first layer reads the photo, the others keep their format.",
                "Thinks of the first layer only. A packed convolution stores its result in the "
                "format of its input's label, so the photo decides for every layer after it.",
            ),
            Option(
                "No: it would be faster, but the kernels would mix up the colors.",
                "Takes the format for the data. It says where a number lies and not which number "
                "it is; the parity checks of section 7 said `same`.",
            ),
        ),
    ),
    Question(
        "05.1",
        "An app's runtime was built with the operator list of the optimized float file. The next "
        "release brings the same network as a `.ptl` that is scripted and not optimized. What "
        "happens on the phone?",
        (
            Option(
                "It runs: the list belongs to the network, and that is still the same.",
                "Takes the list for a property of the network. It belongs to one form of it: "
                "section 3 counted more operators for the scripted form than for the optimized.",
            ),
            Option(
                "It runs, but slower: ordinary operators stand in for the packed ones.",
                "Believes that a small runtime still has the ordinary operators to fall back on. "
                "It has those of its list, and the ordinary convolution is not on it.",
            ),
            Option(
                "It loads, and fails in the layer that calls the first missing operator.",
                "Believes that the interpreter finds out step by step. It looks up all operators "
                "while it loads, and that is where section 3 met the error.",
            ),
            Option(
                "It is refused at load, in a message that names the missing operators.",
                "A list made for one file fits that file. The scripted form asks for BatchNorm and "
                "dropout too, and what is missing is named at once, as in section 3.",
                right=True,
            ),
        ),
    ),
    Question(
        "05.2",
        "On the phone most answers are wrong. The app team says that its preprocessing is not to "
        "blame. Which piece of evidence would convince you?",
        (
            Option(
                "A raw picture, of which app and Python make the same tensor.",
                "This compares the very thing that preprocessing has to deliver, from the same "
                "start. Section 6 asks for this test among the app's own.",
                right=True,
            ),
            Option(
                "A preview on the screen that looks like the training images.",
                "Trusts the eye. In section 5 a wrong scale and a forgotten normalization could "
                "not be seen, since a picture is stretched before it is shown.",
            ),
            Option(
                "The bundled input, which gives its expected class on the phone.",
                "Tests the other half. The stored tensor has the preprocessing behind it, so this "
                "shows that file and runtime fit together (section 6).",
            ),
            Option(
                "Softmax values on the phone that are as high as in the notebook.",
                "Takes confidence for a sign that the input was right. In section 5 the app with "
                "the wrong scale was practically certain, and it was guessing.",
            ),
        ),
    ),
    Question(
        "05.3",
        "Another app has another budget: a `.ptl` of at most 2 MB with the answers of the float "
        "model, and the faster, the better. Four rows of a table, as section 10 prints them: "
        "`mobile-nhwc` 1466 kB, same, 2.04 ms; `mobile-int8` 419 kB, close, 2.82 ms; `recipe` "
        "1439 kB, DIFFERENT, 3.69 ms; `mobile-pruned` 890 kB, close, 2.25 ms. Which do you hand "
        "over?",
        (
            Option(
                "`mobile-int8`, the one `.ptl` that met the course's budget.",
                "Takes the winner of one budget for the best file. Its answers are `close` and not "
                "`same`, and its small size buys nothing here.",
            ),
            Option(
                "`mobile-nhwc`, which only labels its input in another way.",
                "It is a `.ptl` of less than 2 MB, its answers are `same`, and it is the only such "
                "row. The budget chooses the file.",
                right=True,
            ),
            Option(
                "`recipe`, the smallest float `.ptl` with all of its channels.",
                "Reads the size before the first column. The answers are `DIFFERENT`, so neither "
                "its size nor its time counts for anything.",
            ),
            Option(
                "`mobile-pruned`, which has the least to compute of all `.ptl` files.",
                "Takes less work for less time, and for the same network. Its answers are `close`, "
                "and a row that computes more is faster.",
            ),
        ),
    ),
    Question(
        "06.1",
        "A colleague shows the explorer with size and latency as axes. One of the files lies off "
        "the Pareto front, and he wants to ship it. When can he be right?",
        (
            Option(
                "Never: another file beats it, so it is worse at any budget.",
                "Takes the front of two quantities for the front of all. It was beaten in size and "
                "latency; nobody has looked at a third quantity yet.",
            ),
            Option(
                "When the budget is so wide that every file keeps it.",
                "A wide budget makes it allowed, and the file that beats it is allowed too. "
                "Keeping a budget is no reason to prefer it.",
            ),
            Option(
                "When a quantity that is not on the axes decides.",
                "In accuracy or energy it may be ahead, as with the translator and the sensor. "
                "The front is drawn for the two axes that are chosen.",
                right=True,
            ),
        ),
    ),
    Question(
        "06.2",
        "The generator of section 3 gets pictures of half the side. Which of its costs falls by "
        "the smallest factor?",
        (
            Option(
                "Its peak memory, because a part of it is there for any picture.",
                "What lies between the layers shrinks with the pixels. What the runtime sets up "
                "does not, nor do the weights, half a MiB here.",
                right=True,
            ),
            Option(
                "Its multiply-accumulates, because the number of layers stays.",
                "Counts layers. Each layer is applied at a quarter of the positions, so the work "
                "falls by the full factor of the area.",
            ),
            Option(
                "Its latency, because each layer has to be called all the same.",
                "True of very small pictures, where the calls are most of the time. At the sizes "
                "of section 3 the time grows nearly as fast as the work.",
            ),
            Option(
                "None: all three fall with the number of pixels.",
                "Takes one exponent for all. Between the smallest sizes of section 3 the memory "
                "grew far more slowly than the other two.",
            ),
        ),
    ),
    Question(
        "06.3",
        "Two files have the same energy estimate, and one of them needs a third of the other's "
        "time on this host. Which of them would you put into the sensor?",
        (
            Option(
                "Either: the estimate is equal, so the battery lasts as long.",
                "Takes the estimate for the energy. It counts steps and traffic and leaves "
                "out what a processor draws while it is merely awake.",
            ),
            Option(
                "The slower one, because it draws less power at a time.",
                "Mixes up power and energy. The battery pays for power times time, and the "
                "processor is awake for longer.",
            ),
            Option(
                "The faster one for certain: time is energy.",
                "Goes too far the other way. The host's time is not the sensor's, and at a higher "
                "power a shorter time may cost the same.",
            ),
            Option(
                "Probably the faster one, once its time is measured there.",
                "Awake for less time is what the estimate cannot see. It was measured on this "
                "host, so the sensor's processor has the last word.",
                right=True,
            ),
        ),
    ),
    Question(
        "07.1",
        "Your int8 file gives the same scores on an emulated Cortex-A53 as on your computer, in "
        "every bit. What do you know about a phone with such a core?",
        (
            Option(
                "That the app will show the right class.",
                "The scores are right for the same *input*. What the app's own preprocessing makes "
                "of a camera image was not tested; section 5 is about that.",
            ),
            Option(
                "That torch 2.1.0 computes the same there, if the engine is QNNPACK.",
                "An emulator executes the same ARM instructions, the sums of integers are exact, "
                "and QNNPACK rounds the rest in the same way. With another engine the scores were "
                "others (section 2).",
                right=True,
            ),
            Option(
                "About how long it takes: the emulator's time, divided by a factor.",
                "There is no such factor. Emulation is slow for other instructions than a core is, "
                "so not even the order of two files is certain.",
            ),
            Option(
                "Nothing, because an emulator is not the device.",
                "Goes too far. What it cannot show is time, heat and memory; what it computes is "
                "what the device computes.",
            ),
        ),
    ),
    Question(
        "07.2",
        "An app with torch 2.1.0 refuses a file: `Following ops cannot be found`. The file was "
        "scripted and saved. What do you try first?",
        (
            Option(
                "Freeze or optimize the module, save again, and read the list again.",
                "Scripting keeps every branch of the functions that it calls, also those that "
                "never run. Freezing throws them away, and the operator may go with them.",
                right=True,
            ),
            Option(
                "A backport to the oldest bytecode version that there is.",
                "The version says how steps are written down. All versions of section 3 were "
                "refused for the same operator.",
            ),
            Option(
                "A newer library in the app.",
                "It would help, if there were one: 2.1.0 is the last that was published.",
            ),
            Option(
                "Save with `.save()`, because that file has the source in it.",
                "That file has no bytecode at all (chapter 05), and the same operators.",
            ),
        ),
    ),
    Question(
        "07.3",
        "On one emulated core, file A needs 25 and file B 12 million instructions for an image. "
        "Which sentence may stand in your report?",
        (
            Option(
                "B is about twice as fast on phones.",
                "Takes an instruction for a unit of time. Some wait for memory, and some finish "
                "several at once; only a stopwatch on a phone says what that comes to.",
            ),
            Option(
                "B saves half of the battery.",
                "Energy follows time, memory traffic and the clock as well (chapter 06). None of "
                "them was counted.",
            ),
            Option(
                "B executes about half of the instructions, so it is worth timing on a phone.",
                "The count says what was counted, and repeats. It is a reason to measure, and a "
                "good one.",
                right=True,
            ),
        ),
    ),
    Question(
        "08.1",
        "A `.pte` of your float network takes a hundred times as long as the `.ptl` did, on the "
        "same computer, with one thread each. What do you look at first?",
        (
            Option(
                "How much of the network was delegated.",
                "What no partitioner took is run by portable kernels, without a vector instruction "
                "and without a warning. The list of operators in the file shows it.",
                right=True,
            ),
            Option(
                "The number of threads.",
                "Two threads can halve a time. They do not explain a factor of a hundred.",
            ),
            Option(
                "Whether the file should be int8.",
                "int8 that is not delegated is slow as well. First find out who computes.",
            ),
            Option(
                "Nothing: ExecuTorch is for phones, and slow on computers.",
                "Its XNNPACK kernels run on both. Section 2 ran the same network with them, "
                "and many times faster.",
            ),
        ),
    ),
    Question(
        "08.2",
        "Your network has an `if` on the mean of the image. `torch.jit.trace` took it with a "
        "warning, `torch.export` refuses. Who is right?",
        (
            Option(
                "trace: a warning is not an error, and the app has worked for years.",
                "It works for the images that take the branch of the example. The others get the "
                "wrong branch, and nobody is told.",
            ),
            Option(
                "export: a graph without branches cannot hold a decision that it has not seen.",
                "With `torch.where` or `torch.cond` the decision becomes a part of the graph, and "
                "both sides are right.",
                right=True,
            ),
            Option(
                "Both: the branch can be exported with an example of the other kind.",
                "Export refuses with any example: its tensors have a shape and no numbers. A trace "
                "with the other example would only freeze the other branch.",
            ),
        ),
    ),
    Question(
        "08.3",
        "An int8 `.tflite` has the same accuracy as the float one, but a relative error of 0.14, "
        "and its scores end at 10 where those of the float network reach 18. "
        "Calibrated with the smallest and largest values that occurred, it is 0.02. What does that "
        "mean?",
        (
            Option(
                "Nothing: the accuracy is what users see.",
                "On these images. An error of 0.14 leaves less room for the dark or noisy picture "
                "that is not in the test split.",
            ),
            Option(
                "The weights were rounded worse.",
                "The weights are the same. The calibration decides the range of the activations.",
            ),
            Option(
                "The ranges are too narrow, so large activations are clipped.",
                "A moving average of extremes lies inside of the extremes. What lies beyond is "
                "cut off, and a relative error shows it before an accuracy does.",
                right=True,
            ),
            Option(
                "int8 needs training here.",
                "Not before the calibration is right: with the true extremes the error was small.",
            ),
        ),
    ),
)


def chapters() -> tuple[str, ...]:
    """The chapters that have questions, in order."""
    return tuple(dict.fromkeys(question.key.split(".")[0] for question in QUESTIONS))


def keys() -> dict[str, list[str]]:
    """Chapter to the keys of its questions."""
    return {chapter: [q.key for q in of_chapter(chapter)] for chapter in chapters()}


def of_chapter(chapter: str) -> tuple[Question, ...]:
    """The questions of one chapter, in order.

    Args:
        chapter: two digits, for example ``"03"``.

    Raises:
        MobileLabError: there are no questions for this chapter.
    """
    found = tuple(q for q in QUESTIONS if q.key.partition(".")[0] == chapter)
    if not found:
        known = ", ".join(sorted({q.key.partition(".")[0] for q in QUESTIONS}))
        raise MobileLabError(
            f"There are no questions for chapter {chapter!r}; choose from {known}."
        )
    return found
