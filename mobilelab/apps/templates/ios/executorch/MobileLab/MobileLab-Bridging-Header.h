#if __has_include("preprocess.h")
#import "preprocess.h"
#endif
#if __has_include("detect.h")
#import "detect.h"
#endif
