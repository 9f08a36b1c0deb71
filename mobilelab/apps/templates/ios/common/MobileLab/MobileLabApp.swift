import SwiftUI

@main
struct MobileLabApp: App {
    var body: some Scene {
        WindowGroup {
            NavigationStack {
                SelfCheckView()
            }
        }
    }
}
