import "uplot/dist/uPlot.min.css";

import UPlot from "uplot";

export { UPlot };
