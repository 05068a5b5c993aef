// Plain JavaScript: isolates load it as well, before TypeScript can be read.

/** @type {Promise<void> | undefined} */
let typescript

/** Enables TypeScript for ESM and CommonJS, since not every folder has a package.json with its type. */
export function readTypeScript() {
  typescript ??= Promise.all([import('tsx/esm/api'), import('tsx/cjs/api')]).then(([esm, cjs]) => {
    esm.register()
    cjs.register()
  })
  return typescript
}

/**
 * The exports of a module, by name or as default, single or in lists. A CommonJS module exports everything once more as default.
 *
 * @param {Record<string, unknown>} module
 * @returns {unknown[]}
 */
export function exportedValues(module) {
  const values = Object.values(module).flatMap((value) =>
    isExports(value) ? Object.values(/** @type {object} */ (value)) : [value],
  )
  return [...new Set(values.flat())]
}

/** @param {unknown} value */
function isExports(value) {
  return typeof value === 'object' && value !== null && !Array.isArray(value) && '__esModule' in value
}
