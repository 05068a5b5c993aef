// So that `import '@taskfleet/react/styles.css'` needs no types of a bundler.
export {}
