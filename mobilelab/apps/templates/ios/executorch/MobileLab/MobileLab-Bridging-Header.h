#import "preprocess.h"
