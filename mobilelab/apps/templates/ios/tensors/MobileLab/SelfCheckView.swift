import SwiftUI

/// The only screen: do the bundled examples give on this phone what they gave in Python?
struct SelfCheckView: View {
    var body: some View {
        CheckFrame { lab in
            let lines = try lab.selfCheck()
            let tolerance = lab.expected.tolerance
            let agree = !lines.isEmpty && lines.allSatisfy { $0.agrees(tolerance) }
            let time = try timed(lab.call())
            return (agree, describe(lines, tolerance, lab.expected.cases.count, time))
        } more: { _ in
            EmptyView()
        }
    }
}

private func describe(
    _ lines: [Line], _ tolerance: Double, _ examples: Int, _ time: String
) -> String {
    let found = lines.map { line in
        let name = line.name.isEmpty ? "answer" : line.name
        let word = line.agrees(tolerance) ? "ok" : "DIFFERENT"
        return "\(name): \(word)\nrelative error \(line.error), largest difference \(line.largest)\n"
    }
    let rest = "\(examples) examples\n\(time)"
    return (found + [rest]).joined(separator: "\n")
}
