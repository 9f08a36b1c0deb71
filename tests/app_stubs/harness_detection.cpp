// Runs the iOS detection app's own C on this machine. Argument: what to do; numbers on stdin.
#include <cstdio>
#include <cstring>
#include <iostream>
#include <string>
#include <vector>

#include "detect.h"

template <typename T>
static std::vector<T> read(std::size_t count) {
    std::vector<T> values(count);
    for (T &value : values) {
        std::string word;
        std::cin >> word;
        value = static_cast<T>(std::stod(word));
    }
    return values;
}

static std::uint32_t bits(float value) {
    std::uint32_t found;
    std::memcpy(&found, &value, sizeof found);
    return found;
}

int main(int count, char **arguments) {
    const std::string task = count > 1 ? arguments[1] : "";
    if (task == "prepare") {
        const auto shape = read<int>(3);
        const int height = shape[0], width = shape[1], size = shape[2];
        const auto facts = read<float>(8);
        const auto raw = read<std::uint8_t>(3 * height * width);
        std::vector<float> out(3 * size * size);
        ml_letterbox(raw.data(), height, width, size, facts[0], facts[1], &facts[2], &facts[5],
                     out.data());
        for (float value : out) std::cout << bits(value) << ' ';
    } else if (task == "boxes") {
        const auto facts = read<double>(9);
        const int classes = (int)facts[0], grid = (int)facts[1], stride = (int)facts[2];
        const int most = (int)facts[5], size = (int)facts[6];
        const auto scores = read<float>(classes * grid * grid);
        const auto raw = read<float>(4 * grid * grid);
        std::vector<ml_box> boxes(most);
        const int found = ml_choose(scores.data(), raw.data(), classes, grid, stride, (float)facts[3],
                                    facts[4], most, boxes.data());
        for (int i = 0; i < found; i++) {
            const ml_box b = ml_letterbox_back(boxes[i], size, (int)facts[7], (int)facts[8]);
            std::cout << b.label << ' ' << bits(b.x0) << ' ' << bits(b.y0) << ' ' << bits(b.x1) << ' '
                      << bits(b.y1) << ' ' << bits(b.score) << ' ';
        }
    } else if (task == "places") {
        const auto sizes = read<int>(1 + 2 * 40);
        for (std::size_t i = 1; i + 1 < sizes.size(); i += 2) {
            const ml_place p = ml_letterbox_place(sizes[0], sizes[i], sizes[i + 1]);
            std::cout << p.top << ' ' << p.left << ' ' << p.height << ' ' << p.width << '\n';
        }
    } else if (task == "nms") {
        const auto facts = read<double>(2);
        const int n = (int)facts[1];
        const auto boxes = read<float>(4 * n), scores = read<float>(n);
        std::vector<int> kept(n + 1);
        const int found = ml_nms(boxes.data(), scores.data(), n, facts[0], kept.data());
        for (int i = 0; i < found; i++) std::cout << kept[i] << ' ';
    } else {
        return 1;
    }
    return 0;
}
