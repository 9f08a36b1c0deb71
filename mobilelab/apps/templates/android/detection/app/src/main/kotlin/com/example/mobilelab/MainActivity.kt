package com.example.mobilelab

import android.app.Activity
import android.content.Intent
import android.graphics.Color
import android.os.Bundle
import android.widget.Button
import android.widget.LinearLayout
import android.widget.ScrollView
import android.widget.TextView
import kotlin.concurrent.thread

/** First screen: do the bundled photographs give on this phone what they gave in Python? */
class MainActivity : Activity() {
    private lateinit var verdict: TextView
    private lateinit var details: TextView

    override fun onCreate(savedInstanceState: Bundle?) {
        super.onCreate(savedInstanceState)
        verdict = TextView(this).apply { textSize = 28f }
        details = TextView(this).apply { textSize = 16f }
        val tryIt = Button(this).apply {
            text = "Try it"
            setOnClickListener {
                startActivity(Intent(this@MainActivity, TryActivity::class.java))
            }
        }
        val column = LinearLayout(this).apply {
            orientation = LinearLayout.VERTICAL
            setPadding(48, 48, 48, 48)
            addView(verdict)
            addView(details)
            addView(tryIt)
        }
        val screen = ScrollView(this)
        screen.fitsSystemWindows = true
        screen.addView(column)
        setContentView(screen)
        verdict.text = "Checking ..."
        thread { check() }
    }

    private fun check() {
        try {
            val lab = Lab(applicationContext)
            val report = selfCheck(lab.letterbox, lab.chooser, lab.expected, lab::run)
            val milliseconds = medianMilliseconds(lab)
            show(report.passed, describe(report, milliseconds))
        } catch (error: Throwable) {
            // A missing operator, an unknown bytecode version, a damaged file: say it, do not hide.
            show(false, "${error.javaClass.simpleName}: ${error.message}")
        }
    }

    private fun show(passed: Boolean, text: String) = runOnUiThread {
        verdict.text = if (passed) "PASS: as in Python" else "FAIL: not as in Python"
        verdict.setTextColor(if (passed) GREEN else RED)
        details.text = text
    }

    private fun describe(report: Report, milliseconds: Double): String {
        fun word(agrees: Boolean) = if (agrees) "ok" else "DIFFERENT"
        return """
            Letterbox: ${word(report.inputsAgree)}
            largest difference ${report.inputDifference}

            Model: ${word(report.outputsAgree)}
            relative error ${report.outputError}

            Boxes: ${word(report.boxesAgree)}
            ${report.boxes} boxes, largest difference ${report.boxDifference} pixels

            Median of $RUNS runs on this phone: ${"%.2f".format(milliseconds)} ms
        """.trimIndent()
    }

    /** Time of the model alone, after a warm-up. A phone that is warm or charging is slower. */
    private fun medianMilliseconds(lab: Lab): Double {
        val input = lab.expected.vectors.first().input
        repeat(RUNS / 5) { lab.run(input) }
        val times = List(RUNS) {
            val start = System.nanoTime()
            lab.run(input)
            (System.nanoTime() - start) / 1e6
        }
        return times.sorted()[RUNS / 2]
    }

    private companion object {
        const val RUNS = 50
        val GREEN = Color.rgb(0, 110, 60)
        val RED = Color.rgb(180, 0, 30)
    }
}
