// Plain JavaScript: isolates load it as well, before TypeScript can be read.

/** @type {Promise<void> | undefined} */
let typescript

/** From now on TypeScript is read as it is, in modules of both kinds: not every folder says which kind it holds. */
export function readTypeScript() {
  typescript ??= Promise.all([import('tsx/esm/api'), import('tsx/cjs/api')]).then(([esm, cjs]) => {
    esm.register()
    cjs.register()
  })
  return typescript
}

/**
 * What a module exports, by name or as default, one or a list. A CommonJS module has its exports once more as default.
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
