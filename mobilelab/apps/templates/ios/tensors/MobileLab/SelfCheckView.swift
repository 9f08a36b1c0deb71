import SwiftUI

/// The only screen: do the bundled examples give on this phone what they gave in Python?
struct SelfCheckView: View {
    @State private var passed: Bool?
    @State private var details = ""

    var body: some View {
        ScrollView {
            VStack(alignment: .leading, spacing: 16) {
                Text(verdict).font(.title).foregroundStyle(colour)
                Text(details)
            }
            .frame(maxWidth: .infinity, alignment: .leading)
            .padding()
        }
        .task { await check() }
    }

    private var verdict: String {
        switch passed {
        case .none: return "Checking ..."
        case .some(true): return "PASS: as in Python"
        case .some(false): return "FAIL: not as in Python"
        }
    }

    private var colour: Color {
        switch passed {
        case .none: return .primary
        case .some(true): return Color(red: 0, green: 0.43, blue: 0.24)
        case .some(false): return Color(red: 0.7, green: 0, blue: 0.12)
        }
    }

    private func check() async {
        guard passed == nil else { return }
        let outcome = await Task.detached { () -> (Bool, String) in
            do {
                let lab = try Lab()
                let lines = try lab.selfCheck()
                let time = try lab.medianMilliseconds()
                let tolerance = lab.expected.tolerance
                let agree = !lines.isEmpty && lines.allSatisfy { $0.agrees(tolerance) }
                return (agree, describe(lines, tolerance, lab.expected.cases.count, time))
            } catch {
                // A missing operator, an unknown version, a damaged file: say it, do not hide it.
                return (false, error.localizedDescription)
            }
        }.value
        (passed, details) = outcome
    }
}

private func describe(
    _ lines: [Line], _ tolerance: Double, _ examples: Int, _ milliseconds: Double
) -> String {
    let found = lines.map { line in
        let name = line.name.isEmpty ? "answer" : line.name
        let word = line.agrees(tolerance) ? "ok" : "DIFFERENT"
        return "\(name): \(word)\nrelative error \(line.error), largest difference \(line.largest)\n"
    }
    let time = String(format: "%.2f", milliseconds)
    let rest = "\(examples) examples\nMedian of \(Lab.runs) runs on this phone: \(time) ms"
    return (found + [rest]).joined(separator: "\n")
}
