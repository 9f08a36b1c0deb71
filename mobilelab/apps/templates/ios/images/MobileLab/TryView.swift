import PhotosUI
import SwiftUI

/// Second screen: draw (one channel) or choose a picture (three channels), and see the answer.
struct TryView: View {
    let lab: Lab
    @State private var answer = ""
    @State private var strokes: [[CGPoint]] = []
    @State private var chosen: PhotosPickerItem?
    @State private var picture: CGImage?

    private static let side: CGFloat = 300

    var body: some View {
        VStack(spacing: 16) {
            Text(answer).font(.title)
            if lab.preprocessing.channels == 1 {
                drawing
                Button("Clear") {
                    strokes = []
                    answer = "Draw"
                }
            } else {
                PhotosPicker("Choose", selection: $chosen, matching: .images)
                if let picture {
                    Image(decorative: picture, scale: 1).resizable().scaledToFit()
                }
            }
        }
        .padding()
        .onAppear { answer = lab.preprocessing.channels == 1 ? "Draw" : "Choose a picture" }
        .onChange(of: chosen) { Task { await load() } }
    }

    private var drawing: some View {
        Canvas { context, _ in
            context.stroke(
                path, with: .color(.black),
                style: StrokeStyle(lineWidth: Self.side / 10, lineCap: .round, lineJoin: .round))
        }
        .frame(width: Self.side, height: Self.side)
        .background(Color.white)
        .border(Color.gray)
        .gesture(
            DragGesture(minimumDistance: 0)
                .onChanged { value in
                    if value.translation == .zero || strokes.isEmpty { strokes.append([]) }
                    strokes[strokes.count - 1].append(value.location)
                }
                .onEnded { _ in classifyDrawing() })
    }

    private var path: Path {
        var path = Path()
        for stroke in strokes { path.addLines(stroke) }
        return path
    }

    private func classifyDrawing() {
        let (height, width) = (lab.expected.height, lab.expected.width)
        let side = height * width // both sides divide it
        guard
            let context = CGContext(
                data: nil, width: side, height: side, bitsPerComponent: 8, bytesPerRow: side,
                space: CGColorSpaceCreateDeviceGray(),
                bitmapInfo: CGImageAlphaInfo.none.rawValue)
        else { return }
        context.setFillColor(gray: 1, alpha: 1)
        context.fill(CGRect(x: 0, y: 0, width: side, height: side))
        // Core Graphics counts y upwards, SwiftUI downwards.
        let scale = CGFloat(side) / Self.side
        context.translateBy(x: 0, y: CGFloat(side))
        context.scaleBy(x: scale, y: -scale)
        context.setStrokeColor(gray: 0, alpha: 1)
        context.setLineWidth(Self.side / 10)
        context.setLineCap(.round)
        context.setLineJoin(.round)
        context.addPath(path.cgPath)
        context.strokePath()
        guard let data = context.data else { return }
        let grey = data.bindMemory(to: UInt8.self, capacity: side * side)
        let ink = (0..<side * side).map { 1 - Float(grey[$0]) / 255 }
        var raw = [UInt8](repeating: 0, count: height * width)
        ml_ink_to_raw(
            ink, Int32(side), Int32(height), Int32(width), lab.preprocessing.max_value, &raw)
        show(raw)
    }

    private func load() async {
        guard let data = try? await chosen?.loadTransferable(type: Data.self),
            let photo = UIImage(data: data)
        else {
            answer = "This is not a picture that iOS can read"
            return
        }
        let (height, width) = (lab.expected.height, lab.expected.width)
        var rgba = [UInt8](repeating: 0, count: 4 * height * width)
        let small = rgba.withUnsafeMutableBytes { buffer -> CGImage? in
            guard
                let context = CGContext(
                    data: buffer.baseAddress, width: width, height: height, bitsPerComponent: 8,
                    bytesPerRow: 4 * width, space: CGColorSpace(name: CGColorSpace.sRGB)!,
                    bitmapInfo: CGImageAlphaInfo.noneSkipLast.rawValue)
            else { return nil }
            // UIImage.draw turns the photo upright; the middle square fills the context.
            UIGraphicsPushContext(context)
            defer { UIGraphicsPopContext() }
            context.translateBy(x: 0, y: CGFloat(height))
            context.scaleBy(x: 1, y: -1)
            let edge = min(photo.size.width, photo.size.height)
            let (sx, sy) = (CGFloat(width) / edge, CGFloat(height) / edge)
            let full = CGSize(width: photo.size.width * sx, height: photo.size.height * sy)
            photo.draw(
                in: CGRect(
                    x: (CGFloat(width) - full.width) / 2, y: (CGFloat(height) - full.height) / 2,
                    width: full.width, height: full.height))
            return context.makeImage()
        }
        picture = small
        var raw = [UInt8](repeating: 0, count: 3 * height * width)
        ml_pixels_to_raw(rgba, Int32(height * width), &raw)
        show(raw)
    }

    private func show(_ raw: [UInt8]) {
        do {
            let (name, share) = try lab.classify(raw)
            // A softmax is not a probability of being right: it is high for nonsense too.
            answer = "\(name)  (softmax \(Int((100 * share).rounded())) %)"
        } catch {
            answer = error.localizedDescription
        }
    }
}
