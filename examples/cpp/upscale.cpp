// Upscale an image with cv::dnn alone, by a standalone file, which takes and gives 8-bit BGR:
//   cvsr convert models/cvsr-small/cvsr-small_x2.onnx -o x2.onnx --to standalone
//   cmake -B build && cmake --build build && build/upscale x2.onnx photo.jpg large.png
#include <iostream>
#include <vector>

#include <opencv2/dnn.hpp>
#include <opencv2/imgcodecs.hpp>

int main(int argc, char** argv) {
    if (argc != 4) {
        std::cerr << "usage: upscale MODEL.onnx IMAGE RESULT\n";
        return 2;
    }
    try {
        cv::dnn::Net net = cv::dnn::readNetFromONNX(argv[1]);
        const cv::Mat image = cv::imread(argv[2], cv::IMREAD_COLOR);
        if (image.empty()) {
            std::cerr << "cannot read " << argv[2] << "\n";
            return 1;
        }
        net.setInput(cv::dnn::blobFromImage(image));  // (1, 3, H, W), B, G and R in 0..255
        const cv::Mat output = net.forward();         // (1, 3, H * scale, W * scale)
        std::vector<cv::Mat> large;
        cv::dnn::imagesFromBlob(output, large);
        large[0].convertTo(large[0], CV_8U);  // rounds
        if (!cv::imwrite(argv[3], large[0])) {
            std::cerr << "cannot write " << argv[3] << "\n";
            return 1;
        }
    } catch (const cv::Exception& error) {
        std::cerr << error.what() << "\n";
        return 1;
    }
}
