import PhotosUI
import SwiftUI

/// Second screen: choose a picture, and see the boxes on it.
struct TryView: View {
    let lab: Lab
    @State private var answer = "Choose a picture"
    @State private var chosen: PhotosPickerItem?
    @State private var picture: UIImage?

    /// About as large as the pictures that the network was trained on. The letterbox does not
    /// average pixels, so a picture of a camera would reach the network as noise.
    private static let longest: CGFloat = 240

    var body: some View {
        VStack(spacing: 16) {
            Text(answer)
            PhotosPicker("Choose", selection: $chosen, matching: .images)
            if let picture {
                Image(uiImage: picture).resizable().scaledToFit()
            }
        }
        .padding()
        .onChange(of: chosen) { Task { await load() } }
    }

    private func load() async {
        guard let data = try? await chosen?.loadTransferable(type: Data.self),
            let photo = UIImage(data: data)
        else {
            answer = "This is not a picture that iOS can read"
            return
        }
        let scale = Self.longest / max(photo.size.width, photo.size.height)
        let height = max(1, Int(photo.size.height * scale))
        let width = max(1, Int(photo.size.width * scale))
        var rgba = [UInt8](repeating: 0, count: 4 * height * width)
        let small = rgba.withUnsafeMutableBytes { buffer -> CGImage? in
            guard
                let context = CGContext(
                    data: buffer.baseAddress, width: width, height: height, bitsPerComponent: 8,
                    bytesPerRow: 4 * width, space: CGColorSpace(name: CGColorSpace.sRGB)!,
                    bitmapInfo: CGImageAlphaInfo.noneSkipLast.rawValue)
            else { return nil }
            // UIImage.draw turns the photo upright.
            UIGraphicsPushContext(context)
            defer { UIGraphicsPopContext() }
            context.translateBy(x: 0, y: CGFloat(height))
            context.scaleBy(x: 1, y: -1)
            photo.draw(in: CGRect(x: 0, y: 0, width: width, height: height))
            return context.makeImage()
        }
        var raw = [UInt8](repeating: 0, count: 3 * height * width)
        ml_pixels_to_raw(rgba, Int32(height * width), &raw)
        guard let small else { return }
        show(raw, UIImage(cgImage: small))
    }

    private func show(_ raw: [UInt8], _ photo: UIImage) {
        do {
            let (height, width) = (Int(photo.size.height), Int(photo.size.width))
            let boxes = try lab.detect(raw, height: height, width: width)
            picture = drawn(photo, boxes)
            let lines = boxes.map { box in
                "\(lab.labels[Int(box.label)]), score \(String(format: "%.2f", box.score))"
            }
            answer = lines.isEmpty ? "Nothing found" : lines.joined(separator: "\n")
        } catch {
            answer = error.localizedDescription
        }
    }

    private func drawn(_ photo: UIImage, _ boxes: [ml_box]) -> UIImage {
        let format = UIGraphicsImageRendererFormat()
        format.scale = 1
        return UIGraphicsImageRenderer(size: photo.size, format: format).image { context in
            photo.draw(at: .zero)
            UIColor.orange.setStroke()
            context.cgContext.setLineWidth(2)
            for box in boxes {
                context.cgContext.stroke(
                    CGRect(
                        x: CGFloat(box.x0), y: CGFloat(box.y0), width: CGFloat(box.x1 - box.x0),
                        height: CGFloat(box.y1 - box.y0)))
            }
        }
    }
}
