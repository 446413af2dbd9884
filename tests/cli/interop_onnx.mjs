// Rows of a CSV file through an ONNX model by onnxruntime-node, its numbers as lines of text:
//     interop_onnx.mjs MODEL.onnx ROWS.csv FOLDER_WITH_NODE_MODULES
// Exits with 77 when onnxruntime-node is not there.
import fs from 'node:fs';
import path from 'node:path';
import { createRequire } from 'node:module';

const [, , model, rows, folder] = process.argv;
let ort;
try {
    ort = createRequire(path.resolve(folder) + '/')('onnxruntime-node');
} catch {
    process.exit(77);
}
const session = await ort.InferenceSession.create(model);
const lines = fs.readFileSync(rows, 'utf8').trim().split('\n').slice(1);
const table = lines.map((line) => line.split(',').map((cell) => (cell === '' ? NaN : Number(cell))));
const input = new ort.Tensor('float64', Float64Array.from(table.flat()), [table.length, table[0].length]);
const result = await session.run({ input });
const scores = result.probabilities ?? result.value;
const width = scores.dims[1];
for (let i = 0; i < table.length; i++) {
    let own = Array.from(scores.data.slice(i * width, (i + 1) * width));
    if (result.label && width === 2) own = own.slice(1);
    console.log(own.join(','));
}
if (result.label) fs.writeFileSync('labels.txt', Array.from(result.label.data).join('\n') + '\n');
