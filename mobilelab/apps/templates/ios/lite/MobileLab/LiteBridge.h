#import <Foundation/Foundation.h>

NS_ASSUME_NONNULL_BEGIN

/// What Swift sees of the lite interpreter: Swift cannot call C++ classes of LibTorch directly.
@interface LiteBridge : NSObject

- (instancetype)init NS_UNAVAILABLE;

- (nullable instancetype)initWithPath:(NSString *)path
                                shape:(NSArray<NSNumber *> *)shape
                              threads:(int)threads
                                error:(NSError **)error;

/// float32 input to float32 scores.
- (nullable NSData *)run:(NSData *)input error:(NSError **)error;

@end

NS_ASSUME_NONNULL_END
