package com.example.mobilelab

import android.content.Intent
import android.view.View
import android.widget.Button

/** First screen: do the bundled photographs give on this phone what they gave in Python? */
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
        val report = selfCheck(lab.letterbox, lab.chooser, lab.expected, lab::run)
        val input = lab.expected.vectors.first().input
        return Pair(report.passed, describe(report, timed { lab.run(input) }))
    }

    private fun describe(report: Report, time: String): String {
        fun word(agrees: Boolean) = if (agrees) "ok" else "DIFFERENT"
        return """
            Letterbox: ${word(report.inputsAgree)}
            largest difference ${report.inputDifference}

            Model: ${word(report.outputsAgree)}
            relative error ${report.outputError}

            Boxes: ${word(report.boxesAgree)}
            ${report.boxes} boxes, largest difference ${report.boxDifference} pixels

            $time
        """.trimIndent()
    }
}
