# The report's page (web/, bundled into report/page/) becomes two string constants of the library.
set(page_folder ${CMAKE_CURRENT_SOURCE_DIR}/report/page)
set(page_source ${CMAKE_BINARY_DIR}/generated/evenkeel/report/page.cpp)
add_custom_command(
  OUTPUT ${page_source}
  COMMAND ${CMAKE_COMMAND} -DSCRIPT=${page_folder}/report.js -DSTYLE=${page_folder}/report.css -DOUT=${page_source}
          -P ${CMAKE_CURRENT_SOURCE_DIR}/report/embed.cmake
  DEPENDS ${page_folder}/report.js ${page_folder}/report.css ${CMAKE_CURRENT_SOURCE_DIR}/report/embed.cmake
  COMMENT "Embedding the report's page"
  VERBATIM)
target_sources(evenkeel_plain PRIVATE ${page_source})
