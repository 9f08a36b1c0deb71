#import "LiteBridge.h"

#include <exception>

#include "LiteModel.hpp"

static NSError *explained(const std::exception &exception) {
    NSString *text = [NSString stringWithUTF8String:exception.what()] ?: @"unknown error";
    return [NSError errorWithDomain:@"LiteBridge"
                               code:1
                           userInfo:@{NSLocalizedDescriptionKey : text}];
}

@implementation LiteValue
@end

static LiteTensor packed(LiteValue *value) {
    LiteTensor tensor;
    tensor.name = value.name.UTF8String;
    tensor.dtype = value.dtype.UTF8String;
    for (NSNumber *size in value.shape) tensor.shape.push_back(size.longLongValue);
    const auto *first = static_cast<const std::uint8_t *>(value.data.bytes);
    tensor.bytes.assign(first, first + value.data.length);
    return tensor;
}

static LiteValue *unpacked(const LiteTensor &tensor) {
    LiteValue *value = [LiteValue new];
    value.name = @(tensor.name.c_str());
    value.dtype = @(tensor.dtype.c_str());
    NSMutableArray<NSNumber *> *shape = [NSMutableArray array];
    for (std::int64_t size : tensor.shape) [shape addObject:@(size)];
    value.shape = shape;
    value.data = [NSData dataWithBytes:tensor.bytes.data() length:tensor.bytes.size()];
    return value;
}

@implementation LiteBridge {
    std::unique_ptr<LiteModel> _model;
}

- (nullable instancetype)initWithPath:(NSString *)path
                              threads:(int)threads
                                error:(NSError **)error {
    self = [super init];
    if (!self) return nil;
    try {
        _model.reset(new LiteModel(path.UTF8String, threads));
    } catch (const std::exception &exception) {
        if (error) *error = explained(exception);
        return nil;
    }
    return self;
}

- (nullable NSArray<LiteValue *> *)run:(NSArray<LiteValue *> *)inputs error:(NSError **)error {
    try {
        std::vector<LiteTensor> given;
        for (LiteValue *input in inputs) given.push_back(packed(input));
        NSMutableArray<LiteValue *> *answers = [NSMutableArray array];
        for (const LiteTensor &answer : _model->run(given)) [answers addObject:unpacked(answer)];
        return answers;
    } catch (const std::exception &exception) {
        if (error) *error = explained(exception);
        return nil;
    }
}

@end
