import { useState } from 'react'

/** Whether somebody points or types in a region, so that its rows keep their places; with the handlers of the region. */
export function usePointing() {
  const [pointed, setPointed] = useState(false)
  const [typing, setTyping] = useState(false)
  return {
    busy: pointed || typing,
    region: {
      onPointerEnter: (event: { pointerType: string }) => event.pointerType !== 'touch' && setPointed(true),
      onPointerLeave: () => {
        setPointed(false)
        setTyping(false)
      },
      onKeyDown: () => setTyping(true),
      onBlur: () => setTyping(false),
    },
  }
}
