// Runs the app's own code on a JVM. Arguments: the assets folder, then what to do.
import com.example.mobilelab.Preprocessing
import com.example.mobilelab.inkToRaw
import com.example.mobilelab.pixelsToRaw
import com.example.mobilelab.readExpected
import com.example.mobilelab.readLabels
import com.example.mobilelab.readPreprocessing
import com.example.mobilelab.selfCheck
import java.io.File

fun main(arguments: Array<String>) {
    val (folder, task) = arguments
    fun asset(name: String) = File(folder, name).readText()
    val given = readPreprocessing(asset("preprocessing.json"))
    val expected = readExpected(asset("vectors.json"))
    val wrong = given.std.copyOf().also { it[0] *= 1.01f }
    val preprocessing = when (task) {
        "skewed std" -> Preprocessing(given.maxValue, given.mean, wrong, given.size)
        "skewed scale" -> Preprocessing(255f, given.mean, given.std, given.size)
        "skewed channels" ->
            Preprocessing(given.maxValue, given.mean.reversedArray(), given.std, given.size)
        else -> given
    }
    when (task) {
        "prepare" -> for (vector in expected.vectors) {
            val input = preprocessing.prepare(vector.raw, expected.height, expected.width)
            println(input.joinToString(" ") { it.toRawBits().toString() })
        }
        "labels" -> println(readLabels(asset("labels.txt")).joinToString("|"))
        "ink" -> {
            val ink = FloatArray(16 * 16) { if (it / 16 < 4 && it % 16 < 3) 1f else 0f }
            println(inkToRaw(ink, 16, 4, 4, 16f).joinToString(" "))
        }
        "pixels" -> {
            val pixels = intArrayOf(0xff102030.toInt(), 0xff405060.toInt())
            println(pixelsToRaw(pixels).joinToString(" "))
        }
        else -> {
            // No PyTorch here: a stand-in that answers as recorded, or wrongly, or not at all.
            var turn = 0
            val report = selfCheck(preprocessing, expected) {
                val output = expected.vectors[turn++].output.copyOf()
                if (task == "wrong scores") output[0] += 100f
                if (task == "no numbers") output[0] = Float.NaN
                if (task == "too few scores") output.copyOf(output.size - 1) else output
            }
            println("${report.passed} ${report.inputsAgree} ${report.outputsAgree} " +
                "${report.sameClasses} ${report.inputDifference} ${report.outputError}")
        }
    }
}
