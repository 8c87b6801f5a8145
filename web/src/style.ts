// The style sheets, bundled into one.
import "uplot/dist/uPlot.min.css";
import "./report.css";
