// Runs the detection app's own code on a JVM. Arguments: the assets folder, then what to do; numbers
// on stdin.
import com.example.mobilelab.Box
import com.example.mobilelab.Chooser
import com.example.mobilelab.Letterbox
import com.example.mobilelab.nms
import com.example.mobilelab.readChooser
import com.example.mobilelab.readExpected
import com.example.mobilelab.readLabels
import com.example.mobilelab.readLetterbox
import com.example.mobilelab.selfCheck
import java.io.File

fun main(arguments: Array<String>) {
    val (folder, task) = arguments
    fun asset(name: String) = File(folder, name).readText()
    val box = readLetterbox(asset("detection.json"))
    val choose = readChooser(asset("detection.json"))
    val expected = readExpected(asset("vectors.json"))
    when (task) {
        "prepare" -> for (vector in expected.vectors) {
            println(bits(box.prepare(vector.raw, expected.height, expected.width).toList()))
        }
        "boxes" -> for (vector in expected.vectors) {
            println(line(choose.choose(vector.scores, vector.rawBoxes, expected.grid).map {
                box.back(it, expected.height, expected.width)
            }))
        }
        "labels" -> println(readLabels(asset("labels.txt")).joinToString("|"))
        "places" -> for ((height, width) in numbers().map { it.toInt() }.chunked(2)) {
            val place = box.place(height, width)
            println("${place.top} ${place.left} ${place.height} ${place.width}")
        }
        "nms" -> numbers().let { given ->
            val count = given[1].toInt()
            val floats = FloatArray(5 * count) { given[2 + it].toFloat() }
            val kept = nms(
                floats.copyOf(4 * count), floats.copyOfRange(4 * count, 5 * count), given[0],
            )
            println(kept.joinToString(" "))
        }
        else -> check(task, box, choose, expected)
    }
}

/** The self-check with one mistake. No PyTorch here: a stand-in that answers as recorded, or not. */
private fun check(
    task: String, right: Letterbox, choose: Chooser, expected: com.example.mobilelab.Expected,
) {
    val skewed = right.std.copyOf().also { it[1] *= 1.01f }
    val box = when (task) {
        "another grey" -> Letterbox(right.size, 114f, right.maxValue, right.mean, right.std)
        "skewed std" -> Letterbox(right.size, right.fill, right.maxValue, right.mean, skewed)
        else -> right
    }
    val chooser = when (task) {
        "another iou" -> Chooser(choose.stride, choose.least, 0.9, choose.most)
        "another stride" -> Chooser(16, choose.least, choose.iou, choose.most)
        "another least" -> Chooser(choose.stride, 0.6f, choose.iou, choose.most)
        else -> choose
    }
    var turn = 0
    val report = selfCheck(box, chooser, expected) {
        val vector = expected.vectors[turn++]
        val scores = vector.scores.copyOf()
        when (task) {
            "wrong scores" -> scores[0] += 100f
            "no numbers" -> scores[0] = Float.NaN
        }
        val raw = vector.rawBoxes
        when (task) {
            "too few" -> Pair(scores, raw.copyOf(raw.size - 1))
            "swapped outputs" -> Pair(raw, scores)
            else -> Pair(scores, raw)
        }
    }
    println("${report.passed} ${report.inputsAgree} ${report.outputsAgree} ${report.boxesAgree} " +
        "${report.inputDifference} ${report.outputError} ${report.boxDifference} ${report.boxes}")
}

private fun numbers() = System.`in`.bufferedReader().readText().split(' ', '\n')
    .filter { it.isNotBlank() }.map { it.toDouble() }

private fun bits(values: List<Float>) = values.joinToString(" ") { it.toRawBits().toString() }

private fun line(boxes: List<Box>) = boxes.joinToString(" ") {
    "${it.label} " + bits(listOf(it.x0, it.y0, it.x1, it.y1, it.score))
}
