#import "LiteBridge.h"

#include <exception>

#include "LiteModel.hpp"

static NSError *explained(const std::exception &exception) {
    NSString *text = [NSString stringWithUTF8String:exception.what()] ?: @"unknown error";
    return [NSError errorWithDomain:@"LiteBridge"
                               code:1
                           userInfo:@{NSLocalizedDescriptionKey : text}];
}

@implementation LiteBridge {
    std::unique_ptr<LiteModel> _model;
}

- (nullable instancetype)initWithPath:(NSString *)path
                                shape:(NSArray<NSNumber *> *)shape
                              threads:(int)threads
                                error:(NSError **)error {
    self = [super init];
    if (!self) return nil;
    std::vector<std::int64_t> sizes;
    for (NSNumber *size in shape) sizes.push_back(size.longLongValue);
    try {
        _model.reset(new LiteModel(path.UTF8String, sizes, threads));
    } catch (const std::exception &exception) {
        if (error) *error = explained(exception);
        return nil;
    }
    return self;
}

- (nullable NSData *)run:(NSData *)input error:(NSError **)error {
    try {
        std::vector<float> scores = _model->run(static_cast<const float *>(input.bytes),
                                                input.length / sizeof(float));
        return [NSData dataWithBytes:scores.data() length:scores.size() * sizeof(float)];
    } catch (const std::exception &exception) {
        if (error) *error = explained(exception);
        return nil;
    }
}

@end
