package eval

import (
	"bytes"
	"fmt"
	"image/color"
	"math"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgimg"
)

// The colours of a PNG, which cannot follow the reader's mode: those of the light
// page.
var (
	inkColour   = color.NRGBA{0x1b, 0x21, 0x30, 255}
	mutedColour = color.NRGBA{0x5d, 0x66, 0x78, 255}
	gridColour  = color.NRGBA{0xe6, 0xe8, 0xee, 255}
	palette     = [colours]color.NRGBA{{0x3b, 0x5b, 0xdb, 255}, {0xe8, 0x59, 0x0c, 255}, {0x2b, 0x8a, 0x3e, 255},
		{0x9c, 0x36, 0xb5, 255}, {0x0c, 0x85, 0x99, 255}, {0xc2, 0x25, 0x5c, 255}}
)

// PNG returns the chart as a picture of about width×height pixels, for places that
// show no SVG.
func (c Chart) PNG(width, height int) ([]byte, error) {
	p := c.plot()
	for i, s := range c.drawn() {
		if err := c.add(p, i, s); err != nil {
			return nil, fmt.Errorf("eval: drawing %s: %w", c.Title, err)
		}
	}
	const dpi = 144
	inch := func(px int) vg.Length { return vg.Length(px) / dpi * vg.Inch }
	canvas := vgimg.NewWith(vgimg.UseWH(inch(width), inch(height)), vgimg.UseDPI(dpi))
	area := draw.Crop(draw.New(canvas), 10, -14, 8, -10)
	p.Draw(area)
	var b bytes.Buffer
	_, err := vgimg.PngCanvas{Canvas: canvas}.WriteTo(&b)
	return b.Bytes(), err
}

// plot returns the empty chart: axes, grid, fonts and colours.
func (c Chart) plot() *plot.Plot {
	p := plot.New()
	p.Title.Text, p.X.Label.Text, p.Y.Label.Text = c.Title, c.XLabel, c.Unit
	font := func(style *text.Style, size vg.Length, ink color.Color) {
		style.Font.Variant, style.Font.Size, style.Color = "Sans", size, ink
	}
	font(&p.Title.TextStyle, 11, inkColour)
	p.Title.Padding = 8
	ax, ay := c.axes(c.drawn())
	for _, a := range []struct {
		axis *plot.Axis
		at   axis
	}{{&p.X, ax}, {&p.Y, ay}} {
		font(&a.axis.Label.TextStyle, 8.5, mutedColour)
		font(&a.axis.Tick.Label, 8, mutedColour)
		a.axis.Min, a.axis.Max = a.at.lo, a.at.hi
		a.axis.LineStyle.Width, a.axis.Tick.Length = 0, 0
		a.axis.Padding = 4
		a.axis.Tick.Marker = plot.ConstantTicks(constantTicks(a.at))
	}
	grid := plotter.NewGrid()
	grid.Vertical.Width = 0
	grid.Horizontal = draw.LineStyle{Color: gridColour, Width: 0.6}
	p.Add(grid)
	font(&p.Legend.TextStyle, 8.5, mutedColour)
	p.Legend.Top, p.Legend.Padding, p.Legend.ThumbnailWidth = true, 1.5, 14
	p.Legend.Left = c.rises()
	return p
}

// rises reports whether the curves end in the upper half: the legend then goes to
// the upper left, where they are not.
func (c Chart) rises() bool {
	up := 0
	for _, s := range c.named() {
		if len(s.Y) > 0 && s.last() > s.Y[0] {
			up++
		} else {
			up--
		}
	}
	return up > 0
}

func constantTicks(a axis) []plot.Tick {
	ticks := make([]plot.Tick, len(a.ticks))
	for i, v := range a.ticks {
		ticks[i] = plot.Tick{Value: v, Label: a.label(v)}
	}
	return ticks
}

// add draws series i: its band, its curve, its legend.
func (c Chart) add(p *plot.Plot, i int, s Series) error {
	ink := palette[c.colour(i)]
	if s.Lo != nil {
		pale := ink
		if pale.A = 40; c.Stacked {
			pale.A = 200
		}
		band, err := plotter.NewPolygon(outline(s))
		if err != nil {
			return err
		}
		band.Color, band.LineStyle.Width = pale, 0
		p.Add(band)
		if c.Stacked {
			p.Legend.Add(s.Name, band)
			return nil
		}
	}
	line := plotter.Line{XYs: known(s), LineStyle: draw.LineStyle{Color: ink, Width: 1.4}}
	if s.Faint {
		pale := ink
		pale.A = 90
		line.LineStyle = draw.LineStyle{Color: pale, Width: 0.6}
	}
	if len(line.XYs) > 0 {
		p.Add(&line)
	}
	if s.Dots {
		p.Add(&plotter.Scatter{XYs: line.XYs, GlyphStyle: draw.GlyphStyle{Color: ink, Radius: 2.2, Shape: draw.CircleGlyph{}}})
	}
	if !s.Faint && s.Name != "" {
		p.Legend.Add(s.Name, &line)
	}
	return nil
}

// known returns the points of s that can be drawn.
func known(s Series) plotter.XYs {
	var pts plotter.XYs
	for i, v := range s.Y {
		if !math.IsNaN(v) && !math.IsInf(v, 0) {
			pts = append(pts, plotter.XY{X: s.X[i], Y: v})
		}
	}
	return pts
}

// outline goes along the upper edge of the band and back along the lower one.
func outline(s Series) plotter.XYs {
	hi := known(Series{X: s.X, Y: s.Hi})
	lo := known(Series{X: s.X, Y: s.Lo})
	for i := len(lo) - 1; i >= 0; i-- {
		hi = append(hi, lo[i])
	}
	return hi
}
