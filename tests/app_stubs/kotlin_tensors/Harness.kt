// Runs the app for tensors on a JVM. Arguments: the assets folder, then what the stand-in does.
import com.example.mobilelab.NamedTensor
import com.example.mobilelab.numbers
import com.example.mobilelab.readExpected
import com.example.mobilelab.selfCheck
import java.io.File

fun main(arguments: Array<String>) {
    val (folder, task) = arguments
    val expected = readExpected(File(folder, "vectors.json").readText())
    if (task == "inputs") {
        for (input in expected.cases.flatMap { it.inputs }) {
            val shape = input.shape.joinToString(",")
            println("${input.name} ${input.dtype} $shape " + numbers(input).joinToString(","))
        }
        return
    }
    // No PyTorch here: a stand-in that answers as recorded, or not quite.
    var turn = 0
    val report = selfCheck(expected) {
        val outputs = expected.cases[turn++].outputs
        when (task) {
            "swapped" -> outputs.reversed()
            "without names" ->
                outputs.mapIndexed { i, t -> NamedTensor("$i", t.dtype, t.shape, t.data) }
            "one is missing" -> outputs.drop(1)
            "another shape" ->
                outputs.map { NamedTensor(it.name, it.dtype, it.shape + 1L, it.data) }
            "wrong" -> outputs.map(::shifted)
            else -> outputs
        }
    }
    println("${report.passed} ${report.cases} " + report.lines.joinToString(" ") { "${it.name}=${it.agrees}" })
}

private fun shifted(tensor: NamedTensor): NamedTensor {
    val data: Any = when (val old = tensor.data) {
        is FloatArray -> old.map { it + 0.5f }.toFloatArray()
        is LongArray -> old.map { it + 1 }.toLongArray()
        else -> old
    }
    return NamedTensor(tensor.name, tensor.dtype, tensor.shape, data)
}
