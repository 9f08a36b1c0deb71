package com.example.mobilelab

/** The only screen: do the bundled examples give on this phone what they gave in Python? */
class MainActivity : CheckActivity() {
    override fun check(): Pair<Boolean, String> {
        val lab = Lab(applicationContext)
        val report = selfCheck(lab.expected, lab.run)
        val inputs = lab.expected.cases.first().inputs
        return Pair(report.passed, describe(report, timed { lab.run(inputs) }))
    }

    private fun describe(report: Report, time: String): String {
        val lines = report.lines.map { line ->
            val name = line.name.ifEmpty { "answer" }
            val word = if (line.agrees) "ok" else "DIFFERENT"
            "$name: $word\nrelative error ${line.error}, largest difference ${line.largest}\n"
        }
        return (lines + "${report.cases} examples\n" + time).joinToString("\n")
    }
}
