// Runs the iOS app's own C and C++ on this machine. Arguments: what to do; numbers on stdin.
#include <cstdio>
#include <cstring>
#include <iostream>
#include <string>
#include <vector>

#include "preprocess.h"
#ifdef WITH_TORCH
#include "LiteModel.hpp"
#endif

template <typename T>
static std::vector<T> read(std::size_t count) {
    std::vector<T> values(count);
    for (T &value : values) {
        std::string word;
        std::cin >> word;
        value = static_cast<T>(std::stod(word)); // knows nan and inf, which >> does not
    }
    return values;
}

static void print(const std::vector<float> &values) {
    for (float value : values) {
        std::uint32_t bits;
        std::memcpy(&bits, &value, sizeof bits);
        std::cout << bits << ' ';
    }
    std::cout << '\n';
}

int main(int count, char **arguments) {
    const std::string task = count > 1 ? arguments[1] : "";
    if (task == "prepare") {
        const auto shape = read<int>(4);
        const int channels = shape[0], height = shape[1], width = shape[2], size = shape[3];
        const float max_value = read<float>(1)[0];
        auto mean = read<float>(channels), std = read<float>(channels);
        auto raw = read<std::uint8_t>(channels * height * width);
        std::vector<float> out(channels * size * size);
        ml_prepare(raw.data(), channels, height, width, max_value, mean.data(), std.data(), size,
                   out.data());
        print(out);
    } else if (task == "compare") {
        int n;
        std::cin >> n;
        auto expected = read<float>(n), got = read<float>(n);
        std::cout << ml_largest_difference(expected.data(), got.data(), n) << ' '
                  << ml_relative_error(expected.data(), got.data(), n) << ' '
                  << ml_best(got.data(), n) << '\n';
    } else if (task == "ink") {
        std::vector<float> ink(16 * 16);
        for (int i = 0; i < 256; i++) ink[i] = i / 16 < 4 && i % 16 < 3;
        std::vector<std::uint8_t> raw(16);
        ml_ink_to_raw(ink.data(), 16, 4, 4, 16, raw.data());
        for (int value : raw) std::cout << value << ' ';
    } else if (task == "pixels") {
        const std::uint8_t rgba[] = {16, 32, 48, 255, 64, 80, 96, 255};
        std::uint8_t raw[6];
        ml_pixels_to_raw(rgba, 2, raw);
        for (int value : raw) std::cout << value << ' ';
#ifdef WITH_TORCH
    } else if (task == "run" && count > 2) {
        int size;
        std::size_t n;
        std::cin >> size >> n;
        auto input = read<float>(n);
        try {
            LiteModel model(arguments[2], 1);
            const auto *first = reinterpret_cast<const std::uint8_t *>(input.data());
            LiteTensor image{"0", "float32", {1, 1, size, size}, {first, first + 4 * n}};
            const auto answers = model.run({image});
            std::vector<float> scores(answers.at(0).bytes.size() / 4);
            std::memcpy(scores.data(), answers[0].bytes.data(), answers[0].bytes.size());
            print(scores);
        } catch (const std::exception &exception) {
            std::cout << "refused: " << std::string(exception.what()).substr(0, 80) << '\n';
        }
    } else if (task == "tensors" && count > 2) {
        // How many inputs; for each its type, sizes and bytes. The answers in the same form.
        std::size_t n, rank, size;
        std::cin >> n;
        std::vector<LiteTensor> inputs(n);
        for (auto &input : inputs) {
            std::cin >> input.dtype >> rank;
            input.shape = read<std::int64_t>(rank);
            std::cin >> size;
            input.bytes = read<std::uint8_t>(size);
        }
        try {
            for (const auto &answer : LiteModel(arguments[2], 1).run(inputs)) {
                std::cout << '"' << answer.name << "\" " << answer.dtype;
                for (auto sizes : answer.shape) std::cout << ' ' << sizes;
                std::cout << " :";
                for (int byte : answer.bytes) std::cout << ' ' << byte;
                std::cout << '\n';
            }
        } catch (const std::exception &exception) {
            std::cout << "refused: " << std::string(exception.what()).substr(0, 80) << '\n';
        }
#endif
    } else {
        return 1;
    }
    return 0;
}
