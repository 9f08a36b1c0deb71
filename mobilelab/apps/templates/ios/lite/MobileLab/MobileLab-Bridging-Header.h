#import "LiteBridge.h"
#import "preprocess.h"
