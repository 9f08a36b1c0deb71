#import <Foundation/Foundation.h>

NS_ASSUME_NONNULL_BEGIN

/// A tensor on its way into the model or out of it. Elements follow one another, row by row.
@interface LiteValue : NSObject

@property(nonatomic, copy) NSString *name;
@property(nonatomic, copy) NSString *dtype;
@property(nonatomic, copy) NSArray<NSNumber *> *shape;
@property(nonatomic, copy) NSData *data;

@end

/// What Swift sees of the lite interpreter: Swift cannot call C++ classes of LibTorch directly.
@interface LiteBridge : NSObject

- (instancetype)init NS_UNAVAILABLE;

- (nullable instancetype)initWithPath:(NSString *)path
                              threads:(int)threads
                                error:(NSError **)error;

/// Answers to one example.
- (nullable NSArray<LiteValue *> *)run:(NSArray<LiteValue *> *)inputs error:(NSError **)error;

@end

NS_ASSUME_NONNULL_END
