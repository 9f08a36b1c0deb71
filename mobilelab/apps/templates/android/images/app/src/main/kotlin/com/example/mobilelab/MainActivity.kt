package com.example.mobilelab

import android.content.Intent
import android.view.View
import android.widget.Button

/** First screen: do the bundled images give on this phone what they gave in Python? */
class MainActivity : CheckActivity() {
    override fun more(): List<View> = listOf(
        Button(this).apply {
            text = "Try it"
            setOnClickListener {
                startActivity(Intent(this@MainActivity, TryActivity::class.java))
            }
        },
    )

    override fun check(): Pair<Boolean, String> {
        val lab = Lab(applicationContext)
        val report = selfCheck(lab.preprocessing, lab.expected, lab::run)
        val input = lab.expected.vectors.first().input
        return Pair(report.passed, describe(report, timed { lab.run(input) }))
    }

    private fun describe(report: Report, time: String): String {
        val inputs = if (report.inputsAgree) "ok" else "DIFFERENT: look at the preprocessing"
        val outputs = if (report.outputsAgree) "ok" else "DIFFERENT"
        return """
            Preprocessing: $inputs
            largest difference ${report.inputDifference}

            Scores: $outputs
            largest difference ${report.outputDifference}
            relative error ${report.outputError}
            same classes: ${report.sameClasses} of ${report.total}

            $time
        """.trimIndent()
    }
}
