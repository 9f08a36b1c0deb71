import SwiftUI

/// First screen: do the bundled images give on this phone what they gave in Python?
struct SelfCheckView: View {
    var body: some View {
        CheckFrame { lab in
            let report = try lab.selfCheck()
            let time = try timed(lab.call())
            return (report.passed, describe(report, time))
        } more: { lab in
            NavigationLink("Try it") { TryView(lab: lab) }
        }
    }
}

private func describe(_ report: Report, _ time: String) -> String {
    let inputs = report.inputsAgree ? "ok" : "DIFFERENT: look at the preprocessing"
    let outputs = report.outputsAgree ? "ok" : "DIFFERENT"
    return """
        Preprocessing: \(inputs)
        largest difference \(report.inputDifference)

        Scores: \(outputs)
        largest difference \(report.outputDifference)
        relative error \(report.outputError)
        same classes: \(report.sameClasses) of \(report.total)

        \(time)
        """
}
