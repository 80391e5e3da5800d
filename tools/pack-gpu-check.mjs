// Packs what tools/gpu-check.mjs needs of the tests, for a machine without their packages: every op's parity as one
// file.
//   node tools/pack-gpu-check.mjs
// Writes build/gpu-check/ops.mjs, which needs dist/ and build/Release beside it, and no package but kexa's own.
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const root = dirname(dirname(fileURLToPath(import.meta.url)));

/** Writes the file, and returns its path. */
export async function packOps() {
  const outfile = join(root, 'build/gpu-check/ops.mjs');
  await build({
    entryPoints: [join(root, 'test/gpu/ops.test.ts')],
    outfile,
    bundle: true,
    platform: 'node',
    format: 'esm',
    target: 'node20',
    logLevel: 'warning',
    // tape is CommonJS, and requires Node's own modules.
    banner: {
      js: "import { createRequire as createRequire_ } from 'node:module';\nconst require = createRequire_(import.meta.url);",
    },
    plugins: [
      {
        name: 'kexa itself is what was built',
        setup({ onResolve }) {
          onResolve({ filter: /\/lib\// }, ({ path, importer }) =>
            importer.startsWith(join(root, 'test/')) && !importer.includes('node_modules')
              ? { path: path.replace(/^.*\/lib\//, '../../dist/'), external: true }
              : null,
          );
        },
      },
    ],
  });
  return outfile;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) console.log(await packOps());
