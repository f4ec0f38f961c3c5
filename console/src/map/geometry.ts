// The window through which the map is seen: metres on the plane (y up) to pixels on the screen (y down).

export interface Bounds {
  minX: number;
  minY: number;
  maxX: number;
  maxY: number;
}

/** `scale` is pixels per metre; the centre is in metres, the size in CSS pixels. */
export interface Viewport {
  centreX: number;
  centreY: number;
  scale: number;
  width: number;
  height: number;
}

const CLOSEST_PX_PER_M = 8;
const FARTHEST_OF_WHOLE = 0.5;

export function toScreen(viewport: Viewport, x: number, y: number): [number, number] {
  return [
    viewport.width / 2 + (x - viewport.centreX) * viewport.scale,
    viewport.height / 2 - (y - viewport.centreY) * viewport.scale,
  ];
}

export function toWorld(viewport: Viewport, px: number, py: number): [number, number] {
  return [
    viewport.centreX + (px - viewport.width / 2) / viewport.scale,
    viewport.centreY - (py - viewport.height / 2) / viewport.scale,
  ];
}

export function boundsOf(xs: ArrayLike<number>, ys: ArrayLike<number>): Bounds {
  const bounds = { minX: Infinity, minY: Infinity, maxX: -Infinity, maxY: -Infinity };
  for (let i = 0; i < xs.length; i += 1) {
    const x = xs[i] as number;
    const y = ys[i] as number;
    bounds.minX = Math.min(bounds.minX, x);
    bounds.maxX = Math.max(bounds.maxX, x);
    bounds.minY = Math.min(bounds.minY, y);
    bounds.maxY = Math.max(bounds.maxY, y);
  }
  return bounds;
}

export function grown(bounds: Bounds, metres: number): Bounds {
  return {
    minX: bounds.minX - metres,
    minY: bounds.minY - metres,
    maxX: bounds.maxX + metres,
    maxY: bounds.maxY + metres,
  };
}

/** Show all of `bounds` in a window of this size, with `margin` pixels around it. */
export function fit(bounds: Bounds, width: number, height: number, margin = 40): Viewport {
  const spanX = Math.max(bounds.maxX - bounds.minX, 1);
  const spanY = Math.max(bounds.maxY - bounds.minY, 1);
  const scale = Math.min((width - 2 * margin) / spanX, (height - 2 * margin) / spanY);
  return {
    centreX: (bounds.minX + bounds.maxX) / 2,
    centreY: (bounds.minY + bounds.maxY) / 2,
    scale: Math.min(Math.max(scale, 1e-6), CLOSEST_PX_PER_M),
    width,
    height,
  };
}

/** Zoom by `factor` and keep what lies under the pixel where it is. */
export function zoomAt(viewport: Viewport, factor: number, px: number, py: number, whole: Viewport): Viewport {
  const [x, y] = toWorld(viewport, px, py);
  const scale = Math.min(Math.max(viewport.scale * factor, whole.scale * FARTHEST_OF_WHOLE), CLOSEST_PX_PER_M);
  return {
    ...viewport,
    scale,
    centreX: x - (px - viewport.width / 2) / scale,
    centreY: y + (py - viewport.height / 2) / scale,
  };
}

/** Move what is seen by pixels; positive moves the picture right and down. */
export function pan(viewport: Viewport, dx: number, dy: number): Viewport {
  return {
    ...viewport,
    centreX: viewport.centreX - dx / viewport.scale,
    centreY: viewport.centreY + dy / viewport.scale,
  };
}

/** A round length in metres that is about `pixels` long on the screen, for the scale bar. */
export function scaleBar(viewport: Viewport, pixels: number): { metres: number; pixels: number } {
  const about = pixels / viewport.scale;
  const power = 10 ** Math.floor(Math.log10(about));
  const step = [5, 2, 1].find((one) => one * power <= about) ?? 1;
  return { metres: step * power, pixels: step * power * viewport.scale };
}

/** Labels that found room, first come first served: offer them in the order of their weight. */
export class Room {
  private taken: [number, number, number, number][] = [];

  take(x: number, y: number, width: number, height: number): boolean {
    for (const [left, top, right, bottom] of this.taken) {
      if (x < right && x + width > left && y < bottom && y + height > top) return false;
    }
    this.taken.push([x, y, x + width, y + height]);
    return true;
  }
}
