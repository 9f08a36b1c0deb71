#if __has_include("preprocess.h")
#import "preprocess.h"
#endif
